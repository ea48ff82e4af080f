"""What a distance between two samples is by chance: the law of its square over ``v = 1/n + 1/m`` without drift. Pure.

Of all distances the square is what adds up: two samples from the same source are ``sqrt(v)`` apart, times a law that
does not depend on how many rows there are. Where chunks differ by more than chance, the excess is added to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from scipy.special import betainc, betaincc, chdtrc, fdtrc, gammaln, kolmogorov, ndtr

from pegel.streaming.statistics.cells import FloatArray, IntArray

_DF = np.geomspace(1.0, 1e5, 400)
_RATIO = (2 / _DF) * np.exp(2 * (gammaln((_DF + 1) / 2) - gammaln(_DF / 2)))
"""Squared mean over mean square of a chi variable, by its degrees of freedom; it ascends to 1."""

_TINY = 1e-290
"""A mean square below it is that of nothing that can move."""


@dataclass(frozen=True, slots=True)
class Law:
    """The law of a squared distance over v, without drift and with independent rows.

    Attributes:
        mean: above 0.
        variance: above 0.
        tail: the chance of at least so much; an upper bound where it cannot be exact.
    """

    mean: float
    variance: float
    tail: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Excess:
    """How much further apart the baseline's own chunks are than chance says.

    Attributes:
        squared: mean squared distance beyond chance, in the unit of the squared distance, from 0.
        chunks: on how many chunks it was measured, at least 2.
    """

    squared: float
    chunks: int


def p_value(squared: float, v: float, law: Law, excess: Excess | None = None) -> float:
    """The chance of such a squared distance without drift.

    With an excess the worst is assumed: that it lies in one direction, the one in which chance varies most. A squared
    distance is a sum of squares of normal variables, and the excess ``e = excess / v`` widens one of them from s to
    s + e, which adds e to the mean and ``4 s e + 2 e^2`` to the variance; s is at most the root of half the variance.
    The sum is taken as a scaled chi-squared variable of the same mean and variance, and, as the excess is an estimate
    from B chunks, as F with B - 1 degrees of freedom below.

    Args:
        squared: the squared distance.
        v: ``1/n + 1/m``.
        law: of ``squared / v``.
        excess: None if it is not known.

    References:
        Satterthwaite 1946, "An approximate distribution of estimates of variance components"; Rao and Scott 1984, "On
        chi-squared tests for multiway contingency tables" (the same for surveys).

    Example:
        >>> round(p_value(0.0384145882, 0.01, chi_squared_law(1)), 6)
        0.05
        >>> round(p_value(0.0384145882, 0.01, chi_squared_law(1), Excess(0.01, 30)), 2)
        0.18
    """
    x = squared / v
    if excess is None or excess.squared <= 0:
        return law.tail(x)
    added = excess.squared / v
    mean, variance = law.mean + added, law.variance + 4 * sqrt(law.variance / 2) * added + 2 * added**2
    spread = float(fdtrc(2 * mean**2 / variance, excess.chunks - 1, x / mean))
    return max(law.tail(x * law.mean / mean), spread)


def chi_squared_law(df: int) -> Law:
    """Pearson's statistic is chi-squared; ``8 ln 2 JS^2``, ``8 H^2`` and PSI over v tend to the same.

    Args:
        df: at least 1.

    References:
        Pearson 1900; for all divergences of this kind Cressie and Read 1984, "Multinomial goodness-of-fit tests".

    Example:
        >>> round(chi_squared_law(9).tail(16.919), 4)
        0.05
    """
    return Law(float(df), 2.0 * df, lambda x: float(chdtrc(df, x)))


def kolmogorov_smirnov_law() -> Law:
    """The largest gap over ``sqrt(v)`` has Kolmogorov's law; with ties it is smaller.

    References:
        Smirnov 1939; the moments of its square, ``pi^2 / 12`` and ``7 pi^4 / 720 - pi^4 / 144``, follow from
        its series.

    Example:
        >>> round(kolmogorov_smirnov_law().tail(1.3581**2), 4)
        0.05
    """
    return Law(pi**2 / 12, 7 * pi**4 / 720 - pi**4 / 144, lambda x: float(kolmogorov(sqrt(x))))


def l_infinity_law(current: IntArray, baseline: IntArray) -> Law:
    """The largest change of a share: at most as likely as if the bins were independent.

    Of the rows of a bin the current sample's part is binomial, narrowed by the bin's own share; the bins are joined by
    Sidak's inequality.

    Args:
        current: counts, shape ``(k,)``; no bin is empty on both sides.
        baseline: likewise.

    References:
        Sidak 1967, "Rectangular confidence regions for the means of multivariate normal distributions"; Przyborowski
        and Wilenski 1940 (the binomial part).

    Example:
        Two bins are one, so 0.05 becomes at most 0.0975:

        >>> many = np.array([10**9, 10**9])
        >>> round(l_infinity_law(many, many).tail(3.841458820694124 / 4), 4)
        0.0975
    """
    n, m = int(current.sum()), int(baseline.sum())
    v, part, both = 1 / n + 1 / m, n / (n + m), current + baseline
    sd = np.sqrt(both / (n + m) * (1 - both / (n + m)))

    def tail(x: float) -> float:
        if x <= 0:
            return 1.0
        away = sqrt(x / v) / np.sqrt(1 - both / (n + m) + 1e-300)
        high, low = both * part + away, both * part - away
        more = np.where(high < both, betainc(high, np.maximum(both - high, 0) + 1, part), 0.0)
        less = np.where(low >= 0, betaincc(np.maximum(low, 0) + 1, both - np.maximum(low, 0), part), 0.0)
        return float(-np.expm1(np.sum(np.log1p(-np.minimum(more + less, 1 - 1e-12)))))

    grid = np.linspace(0, 8 * float(np.max(sd)) + 1e-12, 200)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(sd > 0, 2 * ndtr(-grid[:, None] / sd), 0.0)
        beyond = -np.expm1(np.sum(np.log1p(-each), axis=1))
    mean = float(np.trapezoid(beyond * 2 * grid, grid))
    return Law(mean, float(np.trapezoid(beyond * 4 * grid**3, grid)) - mean**2, tail)


def total_variation_law(shares: FloatArray) -> Law:
    """Half the sum of the absolute changes of all shares.

    The changes over ``sqrt(v)`` are normal with variance ``r_i (1 - r_i)`` and covariance ``-r_i r_j``, which gives
    mean and mean square of the sum; a scaled chi variable with the same two stands for it, and the tail is never
    lighter than that of the change between two halves of the bins. Measured: the law is kept up to p = 0.01, and at
    0.001 the chance is up to 1.8 times as large.

    Args:
        shares: of the bins, sum 1, each above 0, shape ``(k,)``, k at least 2.

    References:
        Nabeya 1951, "Absolute moments in 2-dimensional normal distribution".

    Example:
        With two bins it is exact:

        >>> round(total_variation_law(np.array([0.5, 0.5])).tail(3.841458820694124 / 4), 4)
        0.05
    """
    covariance = np.diag(shares) - np.outer(shares, shares)
    return _sum_of_absolutes(np.full(shares.size, 0.5), covariance, _half(shares))


def wasserstein_law(widths: FloatArray, below: FloatArray) -> Law:
    """The area between two distribution functions: over ``sqrt(v)`` that under the absolute Brownian bridge.

    Mean and mean square follow as for :func:`total_variation_law`; the tail is never lighter than that of the
    difference of the two means, which the area is never below.

    Args:
        widths: of steps along the values, in the column's unit, from 0, shape ``(s,)``.
        below: the distribution function on each step, 0 to 1, ascending, shape ``(s,)``.

    References:
        del Barrio, Gine and Matran 1999, "Central limit theorems for the Wasserstein distance between the empirical and
        the true distributions".

    Example:
        Two values a unit apart, half of the rows each, are a sign:

        >>> round(wasserstein_law(np.array([1.0]), np.array([0.5])).tail(3.841458820694124 / 4), 4)
        0.05
    """
    covariance = np.minimum(below[:, None], below) - np.outer(below, below)
    return _sum_of_absolutes(widths, covariance, float(widths @ covariance @ widths))


def _sum_of_absolutes(weights: FloatArray, covariance: FloatArray, floor: float) -> Law:
    # The law of (sum w |Z|)^2. `floor` is the variance of a normal variable that the sum is never below.
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    moving = sd > 0
    weights, covariance, sd = weights[moving], covariance[np.ix_(moving, moving)], sd[moving]
    product = np.outer(sd, sd)
    rho = np.clip(covariance / product, -1.0, 1.0)
    absolute = (2 / pi) * product * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho))
    square = float(weights @ absolute @ weights)
    if square < _TINY:
        return Law(1.0, 2.0, lambda x: float(x <= 0))
    ratio = (2 / pi) * float(weights @ sd) ** 2 / square
    df = float(np.exp(np.interp(ratio, _RATIO, np.log(_DF))))

    def tail(x: float) -> float:
        return max(float(chdtrc(df, x * df / square)), 2 * float(ndtr(-sqrt(x / floor))))

    return Law(square, 2 * square**2 / df, tail)


def _half(shares: FloatArray) -> float:
    # r (1 - r) for a set of bins whose share r is near a half: the largest first, while they fit.
    held = 0.0
    for share in np.sort(shares)[::-1]:
        if held + share <= 0.5 + 1e-12:
            held += float(share)
    held = held or float(np.max(shares))
    return held * (1 - held)
