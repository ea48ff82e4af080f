"""A task beside the main loop of a job, whose slowness or failure must not hold the loop up. Edge."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Background:
    """Runs a task in a daemon thread, one turn at a time.

    Args:
        task: what to run; whatever it raises is logged as one sentence, once while it stays the same.
        trouble: the beginning of that sentence.
    """

    def __init__(self, task: Callable[[], object], trouble: str) -> None:
        self._task = task
        self._trouble = trouble
        self._said = ""
        self._thread: threading.Thread | None = None

    def turn(self) -> None:
        """Begin a turn, unless the one before still runs."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="background", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the turn that runs, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._task()
            self._said = ""
        except Exception as error:  # its own loop goes on with the next turn
            sentence = f"{self._trouble}: {type(error).__name__}: {error}"
            if sentence != self._said:
                _log.warning("%s", sentence)
            self._said = sentence
