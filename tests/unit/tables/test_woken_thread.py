"""A thread that is woken: it does its task as often as the task itself asks, outlives its failures, and ends once."""

import logging
import threading
from collections.abc import Callable

import pytest

from pegel.tables.woken_thread import WokenThread

LIMIT_SECONDS = 20.0


class Task:
    """Counts how often it was done, and can be waited for; ``then`` says what comes of it."""

    def __init__(self, then: Callable[[int], float | None]) -> None:
        self._then = then
        self._changed = threading.Condition()
        self.done = 0

    def __call__(self) -> float | None:
        with self._changed:
            self.done += 1
            self._changed.notify_all()
            number = self.done
        return self._then(number)

    def reached(self, times: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.done >= times, LIMIT_SECONDS)


def test_a_task_that_names_a_time_is_done_again_though_nobody_wakes_it() -> None:
    task = Task(lambda number: 0.001 if number < 5 else None)
    thread = WokenThread("test", task, 0.0)
    thread.start()
    assert task.done == 0
    thread.wake()
    assert task.reached(5)
    thread.wake()
    assert task.reached(6)
    assert thread.stop(LIMIT_SECONDS)
    assert task.done == 6


def test_a_task_that_waits_for_a_time_is_done_at_once_if_somebody_wakes_it() -> None:
    task = Task(lambda _: 1e6)
    thread = WokenThread("test", task, 0.0)
    thread.start()
    for times in (1, 2, 3):
        thread.wake()
        assert task.reached(times)
    assert thread.stop(LIMIT_SECONDS)


def test_a_task_that_fails_is_done_again_and_its_thread_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    def fail_first(number: int) -> None:
        if number == 1:
            msg = "the disk is full"
            raise OSError(msg)

    task = Task(fail_first)
    thread = WokenThread("test", task, 0.0)
    thread.wake()
    thread.start()
    with caplog.at_level(logging.WARNING):
        assert task.reached(2)
    assert thread.stop(LIMIT_SECONDS)
    assert "the disk is full" in caplog.text


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_last_is_done_once_and_after_the_task(fails: bool) -> None:
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def task() -> None:
        begun.set()
        go_on.wait(LIMIT_SECONDS)
        order.append("task")

    def last() -> None:
        order.append("last")
        if fails:
            msg = "the store is down"
            raise OSError(msg)

    thread = WokenThread("test", task, 0.0, last)
    thread.wake()
    thread.start()
    assert begun.wait(LIMIT_SECONDS)
    assert not thread.stop(0.0)
    assert order == []
    go_on.set()
    assert thread.stop(LIMIT_SECONDS)
    assert order == ["task", "last"]


def test_a_thread_that_never_began_has_ended() -> None:
    assert WokenThread("test", lambda: None, 0.0).stop(0.0)
