import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import OutsideError
from pegel.serving.trace_outbox import MAX_ATTEMPTS, Outbox


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Store:
    """Says what it is told to, item by item; else takes it."""

    def __init__(self, *says: object) -> None:
        self.taken: list[int] = []
        self.asked: list[int] = []
        self._says = list(says)

    def __call__(self, item: int) -> bool:
        self.asked.append(item)
        say = self._says.pop(0) if self._says else True
        if isinstance(say, Exception):
            raise say
        if say:
            self.taken.append(item)
        return bool(say)


def _drain(outbox: Outbox[int], clock: Clock) -> None:
    while outbox.counts().waiting:
        clock.now += outbox.wait_seconds()
        try:
            outbox.turn()
        except (OutsideError, ValueError):
            continue


SAYS = st.sampled_from([True, False, OutsideError("down"), ValueError("poison")])


@given(st.lists(SAYS, max_size=60), st.integers(0, 12), st.integers(1, 8))
def test_every_item_is_stored_or_dropped_and_none_twice(says: list[object], items: int, room: int) -> None:
    clock, store = Clock(), Store(*says)
    outbox = Outbox(store, room, clock)
    accepted = [outbox.put(n) for n in range(items)]
    assert sum(accepted) == min(items, room)
    _drain(outbox, clock)
    counts = outbox.counts()
    assert counts.stored + counts.dropped == items
    assert len(store.taken) == len(set(store.taken)) == counts.stored
    assert all(store.asked.count(n) <= MAX_ATTEMPTS for n in range(items))


def test_store_that_is_down_is_left_alone_longer_each_time() -> None:
    clock = Clock()
    outbox = Outbox(Store(*[OutsideError("down")] * 4), 5, clock)
    outbox.put(1)
    outbox.put(2)
    waits = []
    for _ in range(4):
        with pytest.raises(OutsideError):
            outbox.turn()
        waits.append(outbox.wait_seconds())
        clock.now += waits[-1]
    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert outbox.counts().waiting == 2


def test_item_that_is_too_early_lets_the_others_pass() -> None:
    clock, store = Clock(), Store(False, True)
    outbox = Outbox(store, 5, clock)
    outbox.put(1)
    outbox.put(2)
    outbox.turn()
    assert not outbox.wait_seconds()
    outbox.turn()
    assert store.taken == [2]
    assert outbox.wait_seconds() > 0
    clock.now += outbox.wait_seconds()
    outbox.turn()
    assert store.taken == [2, 1]


def test_nothing_waits_behind_a_full_outbox() -> None:
    outbox = Outbox(Store(), 1, Clock())
    assert [outbox.put(1), outbox.put(2)] == [True, False]
    outbox.give_up()
    assert outbox.counts().dropped == 2
    assert outbox.counts().waiting == 0
