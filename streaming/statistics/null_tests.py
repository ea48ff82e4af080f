"""What a number would be without drift: p-values under 'no drift', and the size of the shift behind a distance. Pure.

All p-values take events as independent. They are not alarms: nothing here keeps a budget over many windows.
"""

from math import log, pi, sqrt

from scipy.special import chdtrc, kolmogorov, ndtr, stdtr

from pegel.streaming.statistics.cells import Moments


def divergence_p_value(psi: float, bins: int, n: int, m: int) -> float | None:
    """The chance of such a population stability index without drift: ``PSI / (1/n + 1/m)`` is about chi-squared.

    Args:
        psi: the index, or what is about equal to it: ``8 ln 2`` times the squared Jensen-Shannon distance to base 2.
        bins: how many bins either sample has; the law has one degree of freedom fewer.
        n: events of the window.
        m: events of the baseline.

    Returns:
        None if there are fewer than two bins or a side is empty. Rough where bins expect fewer than five events.

    References:
        Yurdakul and Naranjo 2020, "Statistical properties of the population stability index".

    Example:
        >>> round(divergence_p_value(3.841458820694124 * 2 / 100, 2, 100, 100), 9)
        0.05
    """
    if bins < 2 or n <= 0 or m <= 0:
        return None
    return float(chdtrc(bins - 1, max(0.0, psi) / (1 / n + 1 / m)))


def divergence_effect(psi: float, bins: int, n: int, m: int) -> float | None:
    """The shift behind an index, in baseline standard deviations: ``sqrt(PSI - (bins - 1)(1/n + 1/m))``, at least 0.

    What chance alone adds is taken off. For a normal column that moves by d standard deviations PSI is about d squared.

    Example:
        >>> round(divergence_effect(0.0625 + 0.02, 2, 100, 100), 9)
        0.25
    """
    if bins < 2 or n <= 0 or m <= 0:
        return None
    return sqrt(max(0.0, psi - (bins - 1) * (1 / n + 1 / m)))


def index_of_distance(jensen_shannon: float) -> float:
    """The index that a small Jensen-Shannon distance to base 2 stands for: ``8 ln 2 JS^2``.

    Example:
        >>> round(index_of_distance(0.1), 6)
        0.055452
    """
    return 8 * log(2) * jensen_shannon**2


def kolmogorov_smirnov_p_value(statistic: float, n: int, m: int) -> float | None:
    """The chance of such a gap without drift, by Kolmogorov's limit; with ties or on cells it is an upper bound.

    References:
        Smirnov 1939; ``sqrt(n m / (n + m)) D`` has Kolmogorov's law in the limit.

    Example:
        >>> round(kolmogorov_smirnov_p_value(1.3580986393225505 / sqrt(50), 100, 100), 9)
        0.05
    """
    if n <= 0 or m <= 0:
        return None
    return float(kolmogorov(sqrt(n / (n + m) * m) * statistic))


def kolmogorov_smirnov_effect(statistic: float, n: int, m: int) -> float | None:
    """The shift behind a gap, in baseline standard deviations, for a normal column: ``sqrt(2 pi (D^2 - v pi^2 / 12))``.

    A small shift d of a normal law opens a gap of ``d / sqrt(2 pi)``. Chance alone adds ``v pi^2 / 12`` to the squared
    gap, with ``v = 1/n + 1/m``, which is taken off.

    References:
        The second moment of Kolmogorov's law is pi^2 / 12, see Marsaglia, Tsang and Wang 2003.

    Example:
        >>> round(kolmogorov_smirnov_effect(0.1, 10**9, 10**9), 4)
        0.2507
    """
    if n <= 0 or m <= 0:
        return None
    return sqrt(2 * pi * max(0.0, statistic**2 - (1 / n + 1 / m) * pi**2 / 12))


def mean_p_value(current: Moments, baseline: Moments) -> float | None:
    """Welch's test that two means are the same, two-sided; None where a spread is unknown or both are 0.

    References:
        Welch 1947, "The generalization of 'Student's' problem when several different population variances are
        involved".

    Example:
        >>> mean_p_value(Moments(9, 1.0, 1.0), Moments(9, 1.0, 2.0))
        1.0
    """
    if current.mean is None or baseline.mean is None or current.sd is None or baseline.sd is None:
        return None
    a, b = current.sd**2 / current.n, baseline.sd**2 / baseline.n
    if a + b <= 0:
        return None
    t = (current.mean - baseline.mean) / sqrt(a + b)
    df = (a + b) ** 2 / (a**2 / (current.n - 1) + b**2 / (baseline.n - 1))
    return min(1.0, 2 * float(stdtr(df, -abs(t))))


def rate_p_value(hits: int, n: int, baseline_hits: int, m: int) -> float | None:
    """The pooled z-test that two rates are the same, two-sided; rough below five hits or misses.

    References:
        Fleiss, Levin and Paik 2003, "Statistical methods for rates and proportions", section 3.2.

    Example:
        Rates 3/4 and 1/4 of 8 each: ``z = (1/2) / sqrt(1/4 * 1/4) = 2``.

        >>> round(rate_p_value(6, 8, 2, 8), 6)
        0.0455
    """
    if n <= 0 or m <= 0:
        return None
    pooled = (hits + baseline_hits) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    if variance <= 0:
        return 1.0
    return min(1.0, 2 * float(ndtr(-abs(hits / n - baseline_hits / m) / sqrt(variance))))
