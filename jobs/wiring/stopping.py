"""How a job that loops learns that it is to stop. Edge."""

import signal
import threading
from types import FrameType


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set, so that a loop ends between two steps and not within one.

    Outside the main thread, where no signal can be handled, the event is left to whoever runs the job there.
    """
    stop = threading.Event()

    def _set(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _set)
    return stop
