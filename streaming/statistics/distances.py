"""Distances between two vectors of counts over the same bins or cells. Pure.

All take counts, shape ``(k,)``, and give None where a side is empty. No distance here is an alarm: with few events
each of them is far from 0 without any drift. ``null_tests`` says what to expect, ``alarm`` decides.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy.special import chdtrc, rel_entr

from pegel.streaming.statistics.cells import FloatArray, IntArray

EMPTY_SHARE = 1e-4
"""What PSI takes for the share of a bin that is empty on one side only. Convention (Evidently's), not derived."""


def population_stability_index(current: IntArray, baseline: IntArray) -> float | None:
    """The population stability index: how much two shares differ, weighted by their log ratio.

    ``PSI = sum((p - q) * ln(p / q))``, in nats, from 0 without an upper bound; the symmetric Kullback-Leibler
    (Jeffreys) divergence. A bin that is empty on one side has the share :data:`EMPTY_SHARE` there; one that is empty
    on both is left out.
    Weakness: that filler decides the value wherever a bin is empty, and without drift it is already about
    ``(k - 1) * (1/n + 1/m)``. Jensen-Shannon needs no filler.

    References:
        Jeffreys 1946; Yurdakul and Naranjo 2020, "Statistical properties of the population stability index".

    Example:
        Shares 1/2, 1/2 against 1/4, 3/4: ``1/4 ln 2 - 1/4 ln(2/3) = 1/4 ln 3``.

        >>> round(population_stability_index(np.array([2, 2]), np.array([1, 3])) / log(3), 12)
        0.25
    """
    shares = _shares(current, baseline)
    if shares is None:
        return None
    p, q = shares
    seen = (p > 0) | (q > 0)
    p = np.where(p[seen] > 0, p[seen], EMPTY_SHARE)
    q = np.where(q[seen] > 0, q[seen], EMPTY_SHARE)
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon_distance(current: IntArray, baseline: IntArray) -> float | None:
    """The Jensen-Shannon distance with logarithms to base 2: 0 (same shares) to 1 (nothing in common).

    ``JS = sqrt((KL(p || r) + KL(q || r)) / 2)`` with ``r = (p + q) / 2``. A metric; empty bins need no filler. For
    small shifts ``8 ln 2 * JS^2`` is about PSI. Other tools take the natural logarithm, which makes the distance 1.2
    times smaller.
    Weakness: without drift it is already about ``sqrt((k - 1) (1/n + 1/m) / (8 ln 2))``.

    References:
        Lin 1991, "Divergence measures based on the Shannon entropy"; Endres and Schindelin 2003 (it is a metric).

    Example:
        >>> jensen_shannon_distance(np.array([3, 0]), np.array([0, 5]))
        1.0
        >>> jensen_shannon_distance(np.array([3, 6]), np.array([1, 2]))
        0.0
    """
    shares = _shares(current, baseline)
    if shares is None:
        return None
    p, q = shares
    middle = (p + q) / 2
    divergence = float(np.sum(rel_entr(p, middle)) + np.sum(rel_entr(q, middle))) / 2
    return min(1.0, sqrt(max(0.0, divergence) / log(2)))


def total_variation(current: IntArray, baseline: IntArray) -> float | None:
    """The total variation distance: the share of events that would have to change their bin, 0 to 1.

    ``TV = sum(|p - q|) / 2``. Weakness: it grows with the number of bins when events are few.

    References:
        Levin, Peres and Wilmer 2009, "Markov chains and mixing times", section 4.1.

    Example:
        >>> total_variation(np.array([2, 2]), np.array([1, 3]))
        0.25
    """
    shares = _shares(current, baseline)
    return None if shares is None else min(1.0, float(np.sum(np.abs(shares[0] - shares[1]))) / 2)


def hellinger_distance(current: IntArray, baseline: IntArray) -> float | None:
    """The Hellinger distance: 0 (same shares) to 1 (nothing in common).

    ``H = sqrt(1 - sum(sqrt(p q)))``, worked out as ``sqrt(sum((sqrt(p) - sqrt(q))^2) / 2)``, which is the same and
    keeps its digits near 0. A metric; empty bins need no filler. For small shifts ``8 H^2`` is about PSI.
    Weakness: without drift it is already about ``sqrt((k - 1) (1/n + 1/m) / 8)``.

    References:
        Hellinger 1909; Le Cam 1986, "Asymptotic methods in statistical decision theory" (the form with the half).

    Example:
        Shares 1, 0 against 16/25, 9/25: ``sqrt(1 - 4/5)``.

        >>> round(hellinger_distance(np.array([7, 0]), np.array([16, 9])) ** 2, 12)
        0.2
    """
    shares = _shares(current, baseline)
    if shares is None:
        return None
    roots = np.sqrt(shares[0]) - np.sqrt(shares[1])
    return min(1.0, sqrt(float(roots @ roots) / 2))


def l_infinity(current: IntArray, baseline: IntArray) -> float | None:
    """The L-infinity distance (Chebyshev's): the largest change of the share of one bin, 0 to 1.

    ``max(|p - q|)``. Weakness: a shift that spreads over many bins stays small, whatever it adds up to.

    References:
        Deza and Deza 2009, "Encyclopedia of distances", chapter 17.

    Example:
        >>> l_infinity(np.array([2, 1, 1]), np.array([1, 1, 2]))
        0.25
    """
    shares = _shares(current, baseline)
    return None if shares is None else float(np.max(np.abs(shares[0] - shares[1])))


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """A two-sample chi-squared test: the statistic, its degrees of freedom and the p-value under 'same shares'."""

    statistic: float
    df: int
    p_value: float


def chi_squared(current: IntArray, baseline: IntArray) -> ChiSquared | None:
    """Pearson's chi-squared test that two samples have the same shares; the baseline is a sample too.

    ``T = sum((p - q)^2 / (r * (1/n + 1/m)))`` with the pooled share r; bins that are empty on both sides are left out.
    Without drift T is about chi-squared with (bins - 1) degrees of freedom. Weakness: the p-value is off where
    expected counts are below 5, and with many events it finds differences that do not matter.

    Returns:
        None if a side is empty. With a single bin the statistic is 0 and the p-value 1.

    References:
        Pearson 1900; the two-sample form as in ``scipy.stats.chi2_contingency(correction=False)``.

    Example:
        Shares 3/4 and 1/4 of 8 each, pooled 1/2: ``(1/4 + 1/4) / (1/2 * 1/4) = 4``, df 1.

        >>> chi_squared(np.array([6, 2]), np.array([2, 6]))
        ChiSquared(statistic=4.0, df=1, p_value=0.04550026389635857)
    """
    n, m = int(current.sum()), int(baseline.sum())
    if n <= 0 or m <= 0:
        return None
    pooled = current + baseline
    seen = pooled > 0
    p, q, r = current[seen] / n, baseline[seen] / m, pooled[seen] / (n + m)
    statistic = float(np.sum((p - q) ** 2 / r)) / (1 / n + 1 / m)
    df = int(seen.sum()) - 1
    return ChiSquared(statistic, df, float(chdtrc(df, statistic)) if df > 0 else 1.0)


def kolmogorov_smirnov(current: IntArray, baseline: IntArray) -> float | None:
    """The Kolmogorov-Smirnov statistic on ordered cells: the largest gap between two distribution functions, 0 to 1.

    The gap is looked at between cells only, so it is below the exact one by at most the largest share that a cell has
    in either sample. Weakness: blind in the tails, where both functions are near 0 or 1.

    Args:
        current: counts in ascending order of the values, as :func:`~pegel.streaming.statistics.cells.values_of` gives
            them.
        baseline: likewise.

    References:
        Kolmogorov 1933; Smirnov 1939.

    Example:
        >>> kolmogorov_smirnov(np.array([1, 1, 0]), np.array([0, 1, 1]))
        0.5
    """
    shares = _shares(current, baseline)
    if shares is None:
        return None
    return float(np.max(np.abs(np.cumsum(shares[0]) - np.cumsum(shares[1]))))


def wasserstein(current: IntArray, baseline: IntArray, positions: FloatArray) -> float | None:
    """The Wasserstein distance (earth mover's) on ordered cells, in the column's unit, from 0.

    ``W = sum(|F - G| * gap to the next position)``: the area between the two distribution functions. With the middle
    of each cell as its position, and all values inside the grid, it differs from the exact distance by at most the
    cell width averaged over both samples' shares. Values beyond the grid are taken at its outer edge, so it is too
    small then.
    Weakness: it has the column's unit; divide by the baseline's standard deviation to compare columns.

    Args:
        current: counts in ascending order of the values, shape ``(k,)``.
        baseline: likewise.
        positions: where each cell's mass is taken to lie, ascending, shape ``(k,)``.

    References:
        Vallender 1974, "Calculation of the Wasserstein distance between probability distributions on the line".

    Example:
        All mass moved from 0 to 3:

        >>> wasserstein(np.array([0, 2]), np.array([5, 0]), np.array([0.0, 3.0]))
        3.0
    """
    shares = _shares(current, baseline)
    if shares is None:
        return None
    gap = np.abs(np.cumsum(shares[0]) - np.cumsum(shares[1]))[:-1]
    with np.errstate(over="ignore"):
        distance = float(np.sum(gap * np.diff(positions)))
    return distance if np.isfinite(distance) else None


def _shares(current: IntArray, baseline: IntArray) -> tuple[FloatArray, FloatArray] | None:
    n, m = int(current.sum()), int(baseline.sum())
    return (current / n, baseline / m) if n > 0 and m > 0 else None
