"""A thread that does a task some time after it was woken, and again later if it failed. Edge."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0


class WokenThread:
    """Costs nothing while nobody wakes it.

    Args:
        name: of the thread, for the log.
        task: what to do; it may give after how many seconds it is to be done again if nobody wakes it earlier. Whatever
            it raises is logged, and it is done again after 1 s, 2 s, 4 s, … 60 s.
        gather_seconds: how long after it was woken the task is done, so that one task serves all who woke it.
        last: what is done once at the end, whoever waits for it; what it raises is logged.
    """

    def __init__(
        self,
        name: str,
        task: Callable[[], float | None],
        gather_seconds: float,
        last: Callable[[], None] | None = None,
    ) -> None:
        self._name = name
        self._task = task
        self._gather_seconds = gather_seconds
        self._last = last
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; whoever woke it before counts."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self, patience_seconds: float) -> bool:
        """End after the task that runs and the last one; what was asked for may be left undone.

        Returns:
            whether it has ended; False if the task still runs after so long.
        """
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience_seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self) -> None:
        self._work()
        if self._last is not None:
            try:
                self._last()
            except Exception as error:  # nobody is there to be told
                _log.warning("%s: failed at its end: %s", self._name, error)

    def _work(self) -> None:
        failures, again = 0, None
        while True:
            self._wake.wait(again)
            self._wake.clear()
            if self._stop.wait(self._gather_seconds):
                return
            try:
                again = self._task()
                failures = 0
            except Exception as error:  # the thread must outlive every failure of its task
                wait = min(2.0**failures, _LONGEST_WAIT_SECONDS)
                failures = min(failures + 1, 10)
                _log.warning("%s: failed, tried again in %.0f s: %s", self._name, wait, error)
                self._wake.set()
                if self._stop.wait(wait):
                    return
