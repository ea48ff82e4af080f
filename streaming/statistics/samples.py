"""Exact distances between two samples of raw values: Kolmogorov-Smirnov and Wasserstein. Pure.

The baseline is sorted and summed up once. A sample of n values is then compared with it in ``n log m`` steps, so that
many small samples cost no more than one large one.
"""

from dataclasses import dataclass

import numpy as np

from pegel.streaming.statistics.cells import FloatArray, IntArray

_STRETCH = 1 << 15
"""So many points are looked at together: what a core keeps close to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Values in ascending order.

    Attributes:
        finite: the finite ones, ascending, shape ``(k,)``.
        below: how many are minus infinity.
        above: how many are plus infinity.
    """

    finite: FloatArray
    below: int
    above: int

    @property
    def n(self) -> int:
        """How many values there are, infinite ones included."""
        return self.finite.size + self.below + self.above


def sample_of(values: FloatArray) -> Sample:
    """Sort a sample; NaN stands for a missing value and is left out.

    Args:
        values: in any order, shape ``(n,)``; not changed.

    Example:
        >>> sample_of(np.array([2.0, np.nan, -np.inf, 1.0]))
        Sample(finite=array([1., 2.]), below=1, above=0)
    """
    ascending = np.sort(values)  # NaN comes last
    first, last, end = np.searchsorted(ascending, [-np.inf, np.inf, np.nan], side="left")
    below = int(np.searchsorted(ascending, -np.inf, side="right"))
    return Sample(ascending[below:last], below - int(first), int(end - last))


@dataclass(frozen=True, slots=True)
class SampleDistances:
    """How far two samples are apart.

    Attributes:
        kolmogorov_smirnov: 0 to 1; None if a side has no value.
        wasserstein: in the column's unit, of the finite values; None if a side has none, or if it is beyond what a
            float holds.
        inner: the part of it between two given bounds.
    """

    kolmogorov_smirnov: float | None
    wasserstein: float | None
    inner: float | None


class ReferenceSample:
    """A baseline's values with their running sums, to compare other samples with.

    Args:
        sample: at least one value.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        finite = sample.finite
        # Sums of values that lie far from 0 would lose the digits that the distance is made of.
        self._center = float(finite[finite.size // 2]) if finite.size else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums = np.concatenate([[0.0], np.cumsum(finite - self._center)])

    def distances(self, current: Sample, low: float = -np.inf, high: float = np.inf) -> SampleDistances:
        """Compare a sample with this one.

        The Kolmogorov-Smirnov statistic is the largest gap between the two distribution functions F and G; infinite
        values count, at both ends. Wasserstein's distance is the area ``integral |F - G| dx`` over the finite values.
        Weaknesses: the first is blind in the tails; the second has the column's unit, and a single far outlier rules
        it, which is why there is also its part between two bounds.

        Args:
            current: the other sample.
            low: where the inner part begins.
            high: where it ends; the inner part is 0 if it is not above ``low``.

        References:
            Kolmogorov 1933, Smirnov 1939; Vallender 1974, "Calculation of the Wasserstein distance between probability
            distributions on the line". Equal to ``scipy.stats.ks_2samp`` and ``scipy.stats.wasserstein_distance``.

        Example:
            F is 1 from 1 on; G is 1/2 from 1 on and 1 from 3 on:

            >>> baseline = ReferenceSample(sample_of(np.array([1.0, 3.0])))
            >>> baseline.distances(sample_of(np.array([1.0, 1.0])), high=2.0)
            SampleDistances(kolmogorov_smirnov=0.5, wasserstein=1.0, inner=0.5)
        """
        base = self.sample
        if not current.n or not base.n:
            return SampleDistances(None, None, None)
        n, m = current.n, base.n
        gap = abs(current.below / n - base.below / m)
        if not current.finite.size or not base.finite.size:
            return SampleDistances(max(gap, self._gap_at_ends(current)), None, None)
        points = _points(current.finite, base.finite, low, high)
        whole = inner = 0.0
        for first in range(0, points.size, _STRETCH):
            # Neighbouring stretches share a point.
            piece = points[first : first + _STRETCH + 1]
            f, g, before, areas = self._stretch(piece, current)
            gap = max(gap, float(np.max(np.abs(f - g))), float(np.max(np.abs(f[:-1] - before[1:]), initial=0.0)))
            whole += float(np.sum(areas))
            inner += float(np.sum(areas[(piece[:-1] >= low) & (piece[1:] <= high)]))
        if not np.isfinite(whole):
            return SampleDistances(gap, None, None)
        return SampleDistances(gap, whole, inner)

    def _stretch(self, points: FloatArray, current: Sample) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        base = self.sample
        ours = np.searchsorted(current.finite, points, side="right")
        theirs = np.searchsorted(base.finite, points, side="right")
        f, g = (ours + current.below) / current.n, (theirs + base.below) / base.n
        before = (_left(base.finite, points, theirs) + base.below) / base.n
        with np.errstate(over="ignore", invalid="ignore"):
            return f, g, before, self._areas(points, ours, theirs, current.finite.size)

    def _gap_at_ends(self, current: Sample) -> float:
        # Where a side has infinite values only, the functions are furthest apart between its two ends.
        n, m, base = current.n, self.sample.n, self.sample
        if not current.finite.size:
            constant, other = current.below / n, (base.below / m, 1 - base.above / m)
        else:
            constant, other = base.below / m, (current.below / n, 1 - current.above / n)
        return max(abs(constant - end) for end in other)

    def _areas(self, points: FloatArray, ours: IntArray, theirs: IntArray, n: int) -> FloatArray:
        """The area between both functions over each stretch from one point to the next, shape ``(points - 1,)``.

        On a stretch F is constant, c, and G climbs, so they cross once at most, at the baseline's quantile c. On either
        side the area follows from the integral of G, ``(k x - sum of the k values up to x) / m``.
        """
        finite, m = self.sample.finite, self.sample.finite.size
        shifted = points - self._center
        integral = (theirs * shifted - self._sums[theirs]) / m
        start, end, height = points[:-1], points[1:], ours[:-1] / n
        rank = np.minimum((ours[:-1] * m) // n, m - 1)
        quantile = np.where(ours[:-1] == n, np.inf, finite[rank])
        at_quantile = (rank * (finite[rank] - self._center) - self._sums[rank]) / m
        crossing = np.clip(quantile, start, end)
        middle = np.where(quantile <= start, integral[:-1], np.where(quantile >= end, integral[1:], at_quantile))
        under = height * (crossing - start) - (middle - integral[:-1])
        over = (integral[1:] - middle) - height * (end - crossing)
        areas: FloatArray = np.maximum(under, 0.0) + np.maximum(over, 0.0)
        return areas


def _points(current: FloatArray, base: FloatArray, low: float, high: float) -> FloatArray:
    ends = (min(current[0], base[0]), max(current[-1], base[-1]))
    kept = np.empty(current.size, dtype=bool)
    kept[0] = True
    np.not_equal(current[1:], current[:-1], out=kept[1:])
    points = current[kept]
    more = np.array(sorted({x for x in (*ends, low, high) if ends[0] <= x <= ends[1]}))
    at = np.searchsorted(points, more)
    new = (at == points.size) | (points[np.minimum(at, points.size - 1)] != more)
    return np.insert(points, at[new], more[new])


def _left(base: FloatArray, points: FloatArray, right: IntArray) -> IntArray:
    # How many baseline values are below each point: as many as up to it, unless one is equal.
    tied = np.flatnonzero((right > 0) & (base[np.maximum(right - 1, 0)] == points))
    left = right.copy()
    left[tied] = np.searchsorted(base, points[tied], side="left")
    return left
