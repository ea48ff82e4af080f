"""How much each caller may ask: a bucket of texts that fills evenly. In memory, so each process counts for itself."""

import threading
import time
from collections.abc import Callable, Iterable

from pegel.schemas.usage_policy import CallerRule


class CallerLimits:
    """A bucket for each caller that has a limit; it holds one minute's texts and begins full. Safe for threads.

    Args:
        callers: the rules with the limits.
        clock: seconds that never go back.
    """

    def __init__(self, callers: Iterable[CallerRule], clock: Callable[[], float] = time.monotonic) -> None:
        now = clock()
        self._clock = clock
        self._lock = threading.Lock()
        self._sizes = {rule.name: float(rule.requests_per_minute) for rule in callers if rule.requests_per_minute}
        self._levels = {name: (size, now) for name, size in self._sizes.items()}

    def most_at_once(self, caller: str) -> float:
        """How many texts one request of a caller may hold at all."""
        return self._sizes.get(caller, float("inf"))

    def take(self, caller: str, texts: int = 1) -> float:
        """Take texts out of a caller's bucket, all or none.

        Returns:
            0 if they were taken, else after how many seconds they could be, if nothing else is taken until then.

        Example:
            >>> limits = CallerLimits([CallerRule("shop", ("*",), ("support",), 2)], clock=lambda: 0.0)
            >>> limits.take("shop"), limits.take("shop"), limits.take("shop")
            (0.0, 0.0, 30.0)
        """
        size = self._sizes.get(caller)
        if size is None:
            return 0.0
        per_second = size / 60.0
        with self._lock:
            level, then = self._levels[caller]
            now = self._clock()
            level = min(size, level + (now - then) * per_second)
            if level >= texts:
                self._levels[caller] = (level - texts, now)
                return 0.0
            self._levels[caller] = (level, now)
            return (texts - level) / per_second
