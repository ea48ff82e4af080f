"""What is to be stored in the background: bounded, tried again, given up when it is hopeless. No I/O of its own.

Whoever puts something never waits. While the store is down everything waits, longer after each failure; what it has no
place for yet (feedback whose trace is not there) waits alone and lets the rest pass.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pegel.errors import OutsideError

Item = TypeVar("Item")

FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 30.0
MAX_ATTEMPTS = 8
"""With the waits above a single item is given up after about a minute."""


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """What became of what was put in: ``stored + dropped + waiting`` is all of it."""

    stored: int
    dropped: int
    waiting: int


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """What became of the traces and of the feedback for them, in this process."""

    traces: OutboxCounts
    feedback: OutboxCounts


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item]):
    item: Item
    attempts: int = 0
    due: float = 0.0


class Outbox(Generic[Item]):
    """Items on their way to a store. ``put`` may come from any thread, ``turn`` from one.

    Args:
        store: stores an item; False means not yet, :class:`OutsideError` that the store is down, any other error that
            this item cannot be stored.
        max_waiting: more than so many are dropped, the newest first.
        clock: seconds that only grow.
    """

    def __init__(self, store: Callable[[Item], bool], max_waiting: int, clock: Callable[[], float]) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[Item]] = []
        self._stored = self._dropped = self._failures = 0
        self._resume = 0.0

    def put(self, item: Item) -> bool:
        """Take an item; False if it is dropped, since too many wait."""
        with self._lock:
            if len(self._waiting) >= self._max_waiting:
                self._dropped += 1
                return False
            self._waiting.append(_Waiting(item))
            return True

    def drop(self) -> None:
        """Count something that could not even be put in."""
        with self._lock:
            self._dropped += 1

    def counts(self) -> OutboxCounts:
        """What became of all items."""
        with self._lock:
            return OutboxCounts(self._stored, self._dropped, len(self._waiting))

    def wait_seconds(self) -> float:
        """How long nothing is due; 0 if something is now. With nothing waiting, as long as it gets."""
        with self._lock:
            first = min((waiting.due for waiting in self._waiting), default=float("inf"))
        return min(max(0.0, first - self._clock(), self._resume - self._clock()), MAX_WAIT_SECONDS)

    def turn(self) -> None:
        """Try the first item that is due.

        Raises:
            OutsideError: if the store is down; the item waits.
            Exception: whatever ``store`` raises else; the item is dropped.
        """
        now = self._clock()
        with self._lock:
            due = next((waiting for waiting in self._waiting if waiting.due <= now), None)
        if due is None or now < self._resume:
            return
        due.attempts += 1
        try:
            stored = self._store(due.item)
        except OutsideError:
            self._failures += 1
            self._resume = self._clock() + _wait(self._failures)
            self._give_up_or_wait(due, now)
            raise
        except Exception:
            self._settle(due, stored=False)
            raise
        self._failures = 0
        if stored:
            self._settle(due, stored=True)
        else:
            self._give_up_or_wait(due, self._clock() + _wait(due.attempts))

    def give_up(self) -> None:
        """Drop all that waits."""
        with self._lock:
            self._dropped += len(self._waiting)
            self._waiting.clear()

    def _give_up_or_wait(self, waiting: _Waiting[Item], due: float) -> None:
        waiting.due = due
        if waiting.attempts >= MAX_ATTEMPTS:
            self._settle(waiting, stored=False)

    def _settle(self, waiting: _Waiting[Item], *, stored: bool) -> None:
        with self._lock:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._stored += stored
                self._dropped += not stored


def _wait(attempts: int) -> float:
    return float(min(FIRST_WAIT_SECONDS * 2 ** (attempts - 1), MAX_WAIT_SECONDS))
