"""Whether a drift is nothing but a changed mix of known segments. Pure.

If inside each segment all is as before, the counts now are those of the mixture of what the segments had before, with
the shares that they have now. How far they are from that mixture, beside how far they are from before, is what the mix
does not explain (direct standardisation).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from pegel.streaming.statistics.alarm import MIN_EVENTS
from pegel.streaming.statistics.cells import FloatArray, IntArray
from pegel.streaming.statistics.share_test import share_test

LEAST_SHIFT = 0.05
"""A drift of so few standard deviations against the time before has nothing to explain."""

EXPLAINED = 0.8
"""Of the squared shift the mix must explain so much. Convention, not derived."""

MOVED_LEVEL = 0.001
MOVED = 0.05
"""The shares of segments have moved if their total variation is so large, by more than chance. Convention."""

UNKNOWN_SHARE = 0.02
"""If so many events are of segments that were not there before, the mix is not one of known segments. Convention."""


@dataclass(frozen=True, slots=True)
class MovedShares:
    """Whether a known mix has moved.

    Attributes:
        moved: by more than chance and enough to matter, and hardly any event is of a new segment.
        distance: total variation between the shares, 0 to 1.
    """

    moved: bool
    distance: float


def moved_shares(now: IntArray, before: IntArray) -> MovedShares:
    """Compare the shares of an attribute's segments.

    Args:
        now: events of each, shape ``(v,)``.
        before: likewise.

    Example:
        >>> moved_shares(np.array([150, 50]), np.array([500, 500])).distance
        0.25
        >>> moved_shares(np.array([150, 50]), np.array([1000, 0])).moved
        False
    """
    n, m = int(now.sum()), int(before.sum())
    if min(n, m) < MIN_EVENTS:
        return MovedShares(moved=False, distance=0.0)
    distance = float(np.abs(now / n - before / m).sum() / 2)
    new = float(now[before <= 0].sum() / n)
    test = share_test(now[None, :], before)
    is_chance = not test.df[0] or float(chdtrc(test.df[0], test.statistic[0])) >= MOVED_LEVEL
    return MovedShares(distance >= MOVED and new < UNKNOWN_SHARE and not is_chance, distance)


def explained_by_mix(now: IntArray, before: IntArray) -> float | None:
    """How much of a column's squared shift a changed mix explains.

    Args:
        now: counts per bin of each segment, shape ``(v, k)``; each event is in one segment.
        before: likewise.

    Returns:
        1 if all of it, 0 or less if nothing; None if there is no shift to explain or too few events.

    Example:
        Two segments that are as they were, and three times as many of the first.

        >>> before = np.array([[400, 100], [100, 400]])
        >>> round(explained_by_mix(np.array([[600, 150], [50, 200]]), before), 2)
        1.0

        The same shares, and the first has turned into the second.

        >>> explained_by_mix(np.array([[100, 400], [100, 400]]), before) < 0.1
        True
    """
    n, m = now.sum(axis=1), before.sum(axis=1)
    used = (n > 0) & (m > 0)
    if min(int(n[used].sum()), int(m.sum())) < MIN_EVENTS:
        return None
    shares = n[used] / n[used].sum()
    mixture = (shares[:, None] * before[used] / m[used][:, None]).sum(axis=0)
    # The mixture is known as well as a sample of so many events.
    effective = 1 / float(np.sum(shares**2 / m[used]))
    pooled = now.sum(axis=0)
    shift = _squared_shift(pooled, before.sum(axis=0) / m.sum(), float(m.sum()))
    if shift < LEAST_SHIFT**2:
        return None
    return 1 - max(0.0, _squared_shift(pooled, mixture, effective)) / shift


def _squared_shift(counts: IntArray, shares: FloatArray, m: float) -> float:
    """The chi-squared form of the population stability index, less what chance adds: d squared for a shift of d."""
    n = float(counts.sum())
    observed = counts / n
    pooled = (n * observed + m * shares) / (n + m)
    seen = pooled > 0
    index = float(np.sum((observed[seen] - shares[seen]) ** 2 / pooled[seen]))
    return index - (int(seen.sum()) - 1) * (1 / n + 1 / m)
