"""Where the Wasserstein distance is tested, and its law there. Pure.

A few values far out decide the distance and have no law. So the test looks between bounds that leave out the outermost
rows of both samples; the distance itself is of all values.
"""

import numpy as np

from pegel.streaming.statistics.distance_laws import Law, wasserstein_law
from pegel.streaming.statistics.samples import Sample

TAIL_ROWS = 10
"""How many rows of the smaller sample may lie beyond each bound. Tried: with five the test of a Cauchy law is twice as
loud as it says."""

_QUANTILES = (np.arange(32) + 0.5) / 32


def bounds_of(current: Sample, baseline: Sample) -> tuple[float, float]:
    """From where to where to look: the outer ones of both samples' quantiles.

    Returns:
        lower and upper bound; minus and plus infinity if a side has no finite value.

    Example:
        >>> far = Sample(np.arange(100.0, 200.0), 0, 0)
        >>> bounds_of(far, Sample(np.arange(1000.0), 0, 0))
        (100.0, 899.0)
    """
    sizes = current.finite.size, baseline.finite.size
    if not min(sizes):
        return -np.inf, np.inf
    share = min(0.5, TAIL_ROWS / min(sizes))
    at = [min(int(share * size), size - 1) for size in sizes]
    sides = list(zip((current.finite, baseline.finite), at, strict=True))
    return min(float(x[i]) for x, i in sides), max(float(x[-1 - i]) for x, i in sides)


def law_between(current: Sample, baseline: Sample, low: float, high: float, unit: float) -> Law:
    """The law of the distance between the bounds, from the values of both samples together.

    Args:
        current: a sample with finite values.
        baseline: likewise.
        low: as :func:`bounds_of` gives it.
        high: likewise.
        unit: in which the distance is measured, above 0: squares of very large or small values would not fit a float.
    """
    sides = [side.finite for side in (current, baseline)]
    picked = [side[(_QUANTILES * side.size).astype(np.int64)] for side in sides]
    steps = np.unique(np.concatenate([*picked, [low, high]]))
    steps = steps[(steps >= low) & (steps <= high)]
    rows = current.finite.size + baseline.finite.size
    up_to = np.sum([np.searchsorted(side, steps, side="right") for side in sides], axis=0) / rows
    before = np.sum([np.searchsorted(side, steps, side="left") for side in sides], axis=0) / rows
    # Between two steps the distribution function climbs from the one to the other.
    return wasserstein_law(np.diff(steps) / unit, (up_to[:-1] + before[1:]) / 2)
