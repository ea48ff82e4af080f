"""A limit of requests a minute, as a bucket that fills up evenly. Pure, with the clock given in."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class RateLimit:
    """Takes ``per_minute`` requests at once, then one for each 60 / ``per_minute`` seconds.

    Example:
        >>> seconds = [0.0]
        >>> limit = RateLimit(2, lambda: seconds[0])
        >>> limit.take(), limit.take(), limit.take()
        (None, None, 30.0)
        >>> seconds[0] = 30.0
        >>> limit.take() is None
        True
    """

    per_minute: int
    clock: Callable[[], float]
    _left: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._at = float(self.per_minute), self.clock()

    def take(self) -> float | None:
        """Take one request; None if it may go, else after how many seconds it would."""
        now = self.clock()
        self._left = min(float(self.per_minute), self._left + (now - self._at) * self.per_minute / 60.0)
        self._at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return None
        return (1.0 - self._left) * 60.0 / self.per_minute

    @property
    def remaining(self) -> int:
        """Whole requests that would go now."""
        return int(self._left)
