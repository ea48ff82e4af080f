"""Shares and positions with what is known about them. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

_Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n with its 95 % interval; ``value`` is None when n is 0."""

    value: float | None
    lower: float | None
    upper: float | None
    hits: int
    n: int
    at: datetime | None


def share(hits: int, n: int, at: datetime | None) -> Share:
    """Hits out of n with Wilson's interval, which stays inside 0 to 1 and is honest at small n.

    References:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Example:
        >>> s = share(8, 10, None)
        >>> s.value, round(s.lower, 3), round(s.upper, 3)
        (0.8, 0.49, 0.943)
        >>> share(0, 0, None).value is None
        True
    """
    if n <= 0:
        return Share(None, None, None, hits, 0, at)
    p = min(1.0, max(0.0, hits / n))
    spread = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    middle = p + _Z * _Z / (2 * n)
    scale = 1 + _Z * _Z / n
    return Share(p, max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale), hits, n, at)


def percentile(values: Sequence[float], q: float) -> float | None:
    """The nearest-rank percentile; None of nothing.

    Example:
        >>> percentile([3.0, 1.0, 2.0], 0.95), percentile([], 0.5)
        (3.0, None)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)] if ordered else None


def finite(value: float | None) -> float | None:
    """The number, or None where it is not one: JSON has no word for it."""
    return value if value is not None and math.isfinite(value) else None


def newest(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of the times that are there."""
    return max((t for t in times if t is not None), default=None)
