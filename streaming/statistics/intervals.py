"""How sure a number is: 95 % intervals for rates, means and quantiles. Pure."""

from dataclasses import dataclass
from math import hypot, sqrt

from scipy.special import ndtri, stdtrit

from pegel.schemas.grids import GridColumn
from pegel.streaming.statistics.cells import IntArray, Moments, quantile, values_of

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends, inclusive."""

    lower: float
    upper: float


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval of a rate; it keeps within 0 and 1 and holds for few events too.

    Args:
        hits: 0 to n.
        n: events; with 0 there is no interval.
        confidence: 0 to 1.

    References:
        Wilson 1927; Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion".

    Example:
        One of one: ``upper = 1`` and ``lower = 1 / (1 + z^2)`` with z = 1.96.

        >>> wilson(1, 1)
        Interval(lower=0.20654931437723745, upper=1.0)
    """
    if n <= 0 or not 0 <= hits <= n:
        return None
    z = float(ndtri((1 + confidence) / 2))
    rate, shrink = hits / n, 1 + z * z / n
    middle = (rate + z * z / (2 * n)) / shrink
    half = z / shrink * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    lower = 0.0 if hits == 0 else max(0.0, middle - half)
    upper = 1.0 if hits == n else min(1.0, middle + half)
    return Interval(lower, upper)


def newcombe(hits: int, n: int, usual_hits: int, usual_n: int) -> Interval | None:
    """The 95 % interval of a rate less another one, of two samples: Wilson's of each, squared and added.

    Args:
        hits: 0 to n.
        n: events; with 0 on either side there is no interval.
        usual_hits: of the other sample, 0 to usual_n.
        usual_n: its events.

    References:
        Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.

    Example:
        The paper's own: 56 of 70 less 48 of 80.

        >>> found = newcombe(56, 70, 48, 80)
        >>> round(found.lower, 4), round(found.upper, 4)
        (0.0524, 0.3339)
    """
    first, second = wilson(hits, n), wilson(usual_hits, usual_n)
    if first is None or second is None:
        return None
    rate, usual = hits / n, usual_hits / usual_n
    return Interval(
        rate - usual - hypot(rate - first.lower, second.upper - usual),
        rate - usual + hypot(first.upper - rate, usual - second.lower),
    )


def mean_interval(found: Moments, confidence: float = CONFIDENCE) -> Interval | None:
    """Student's interval of a mean; None below two values.

    References:
        Student 1908. It asks for values that are about normal, or for many of them.

    Example:
        >>> mean_interval(Moments(n=2, mean=0.0, sd=sqrt(2))).upper.__round__(4)
        12.7062
    """
    if found.n < 2 or found.mean is None or found.sd is None:
        return None
    half = float(stdtrit(found.n - 1, (1 + confidence) / 2)) * found.sd / sqrt(found.n)
    return Interval(found.mean - half, found.mean + half)


def quantile_interval(
    counts: IntArray, share: float, column: GridColumn, confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of a quantile from the ranks around it, free of any law of the values; to a cell's width.

    Args:
        counts: a dense vector, see :mod:`pegel.streaming.statistics.cells`.
        share: which quantile, 0 to 1.
        column: the column and its grid.
        confidence: 0 to 1.

    References:
        Conover 1999, "Practical nonparametric statistics", section 3.2: ranks ``n p +- z sqrt(n p (1 - p))``.
    """
    n = int(values_of(counts).sum())
    if n <= 0:
        return None
    half = float(ndtri((1 + confidence) / 2)) * sqrt(share * (1 - share) / n)
    lower, upper = quantile(counts, share - half, column), quantile(counts, share + half, column)
    return None if lower is None or upper is None else Interval(lower, upper)
