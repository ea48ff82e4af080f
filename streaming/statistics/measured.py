"""A number that was measured, with its n and its interval. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from pegel.streaming.statistics.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class Measured:
    """A number about some events.

    Attributes:
        value: None where it is not defined.
        n: events behind it.
        interval: at 95 %; None where it is not defined.
        grid_error: how far the number may lie from that of the raw values, since these were counted in cells; 0 if it
            does not depend on cells. The interval holds it.
    """

    value: float | None
    n: int
    interval: Interval | None = None
    grid_error: float = 0.0


UNDEFINED = Measured(None, 0)


def rate(hits: int, n: int) -> Measured:
    """A share with Wilson's interval; not defined without events, or if the counts are none of a share.

    Example:
        >>> rate(1, 1).value, rate(0, 0).value
        (1.0, None)
    """
    if n <= 0 or not 0 <= hits <= n:
        return UNDEFINED
    return Measured(hits / n, n, wilson(hits, n))


def mean_of(parts: Sequence[Measured], correlation: float = 1.0) -> Measured:
    """The unweighted mean of shares of different events; those that are not defined are left out.

    The interval is that of MOVER: with estimates p and bounds l and u,
    ``mean - c sqrt(sum((p - l)^2)) / k`` to ``mean + c sqrt(sum((u - p)^2)) / k``. Where a part's interval is not
    symmetric, this is not either, and it needs no normal approximation of any part.

    Args:
        parts: the shares, 0 to 1.
        correlation: c, at least 1: by how much the standard error is larger than that of independent parts.

    References:
        Zou and Donner 2008, "Construction of confidence limits about effect measures: a general approach".

    Example:
        >>> mean_of([rate(1, 2), rate(2, 2), UNDEFINED]).value
        0.75
    """
    known = [(part.value, part.interval) for part in parts if part.value is not None and part.interval is not None]
    if not known:
        return UNDEFINED
    k = len(known)
    mean = sum(value for value, _ in known) / k
    down = correlation * sqrt(sum((value - interval.lower) ** 2 for value, interval in known)) / k
    up = correlation * sqrt(sum((interval.upper - value) ** 2 for value, interval in known)) / k
    return Measured(mean, sum(part.n for part in parts), Interval(max(0.0, mean - down), min(1.0, mean + up)))
