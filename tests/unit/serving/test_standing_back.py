"""What loads a version stands back behind answers, and not for ever."""

import sys
import threading

import pytest

from pegel.serving.standing_back import NAP_SECONDS, Busy, standing_back


def work(turns: int) -> int:
    return sum(map(abs, range(turns)))


class Naps:
    """Sleeps in no time; ends the answers after so many naps."""

    def __init__(self, busy: Busy, ends_after: int | None = None) -> None:
        self.taken = 0
        self.now = 1000.0
        self._busy, self._ends_after = busy, ends_after

    def __call__(self, seconds: float) -> None:
        assert seconds == NAP_SECONDS
        self.taken += 1
        self.now += 1.0
        if self.taken == self._ends_after:
            self._busy.answers = 0


@pytest.mark.parametrize(("answers", "ends_after", "naps"), [(0, None, 0), (2, 7, 7), (1, None, 50)])
def test_it_waits_while_an_answer_is_under_way_but_no_longer_than_allowed(
    answers: int, ends_after: int | None, naps: int
) -> None:
    busy = Busy()
    busy.answers = answers
    sleep = Naps(busy, ends_after)
    with standing_back(busy, limit_seconds=50.0, sleep=sleep, clock=lambda: sleep.now):
        assert work(1000) == 499_500
    assert sleep.taken == naps


def test_an_answer_is_under_way_until_it_has_ended_or_failed() -> None:
    busy = Busy()
    with busy.answering(), busy.answering():
        assert busy.answers == 2
    with pytest.raises(ValueError, match="fails"), busy.answering():
        raise ValueError("fails")
    assert busy.answers == 0


def test_only_the_thread_that_loads_is_looked_at_and_only_meanwhile() -> None:
    busy = Busy()
    busy.answers = 1
    before, sleep, other = sys.getprofile(), Naps(busy), []

    def fail() -> None:
        with standing_back(busy, 3.0, sleep, lambda: sleep.now):
            thread = threading.Thread(target=lambda: other.append(sys.getprofile()))
            thread.start()
            thread.join()
            raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"):
        fail()
    assert (sys.getprofile(), other) == (before, [None])
    taken = sleep.taken
    work(100)
    assert sleep.taken == taken
