"""How two rates differ: intervals of their difference and of their ratio, and McNemar's test. Pure."""

from math import exp, log, sqrt

from scipy.special import bdtrc, ndtri

from pegel.streaming.statistics.intervals import CONFIDENCE, Interval, wilson


def difference_interval(
    hits: int, n: int, other_hits: int, other_n: int, confidence: float = CONFIDENCE
) -> Interval | None:
    """Newcombe's interval of ``hits / n - other_hits / other_n``, for rates of different rows; None if an n is 0.

    With p, l, u and q, k, v as rate, lower and upper Wilson bound of the first and the second:
    ``d - sqrt((p - l)^2 + (v - q)^2)`` to ``d + sqrt((u - p)^2 + (q - k)^2)``. It needs no normal approximation of the
    difference and holds for small n and for rates of 0 and 1 too.

    Args:
        hits: 0 to n.
        n: rows behind the first rate.
        other_hits: 0 to other_n.
        other_n: rows behind the second rate.
        confidence: 0 to 1.

    References:
        Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.

    Example:
        Its table II, case (a): 56 of 70 against 48 of 80.

        >>> found = difference_interval(56, 70, 48, 80)
        >>> round(found.lower, 4), round(found.upper, 4)
        (0.0524, 0.3339)
    """
    one, two = wilson(hits, n, confidence), wilson(other_hits, other_n, confidence)
    if one is None or two is None:
        return None
    p, q = hits / n, other_hits / other_n
    down = sqrt((p - one.lower) ** 2 + (two.upper - q) ** 2)
    up = sqrt((one.upper - p) ** 2 + (q - two.lower) ** 2)
    return Interval(p - q - down, p - q + up)


def ratio_interval(hits: int, n: int, other_hits: int, other_n: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Katz's interval of ``(hits / n) / (other_hits / other_n)``, for rates of different rows.

    ``log r +- z sqrt(1 / hits - 1 / n + 1 / other_hits - 1 / other_n)``; None where a rate is 0 or has no rows.

    Args:
        hits: 0 to n.
        n: rows behind the first rate.
        other_hits: 0 to other_n.
        other_n: rows behind the second rate.
        confidence: 0 to 1.

    References:
        Katz, Baptista, Azen and Pike 1978, "Obtaining confidence intervals for the risk ratio in cohort studies".

    Example:
        25 of 50 against 50 of 100: the ratio is 1, and the root is sqrt(0.02 + 0.01).

        >>> found = ratio_interval(25, 50, 50, 100)
        >>> round(found.lower, 4), round(found.upper, 4)
        (0.7121, 1.4042)
    """
    if not (0 < hits <= n and 0 < other_hits <= other_n):
        return None
    middle = log(hits / n) - log(other_hits / other_n)
    half = float(ndtri((1 + confidence) / 2)) * sqrt(1 / hits - 1 / n + 1 / other_hits - 1 / other_n)
    return Interval(exp(middle - half), exp(middle + half))


def p_value_of_worse(worse: int, better: int) -> float:
    """The one-sided p-value of McNemar's exact test, for two models on the same rows.

    Args:
        worse: rows that the new model gets wrong and the old one right.
        better: rows the other way round; rows on which both agree say nothing.

    Returns:
        the chance of so many ``worse`` or more, if each of the rows might as well have gone the other way.

    References:
        McNemar 1947; Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data".

    Example:
        Five of five: 1 / 2^5.

        >>> p_value_of_worse(5, 0), p_value_of_worse(0, 0)
        (0.03125, 1.0)
    """
    # The upper tail of the binomial law; scipy.stats has it as a test too, but takes seconds to import.
    return float(bdtrc(worse - 1, worse + better, 0.5)) if worse + better else 1.0
