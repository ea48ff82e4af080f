"""How complete labels are, and how long they took: from counts on a grid of delays that is the same everywhere. Pure.

The grid is log-linear in milliseconds: below 32 ms a cell is 1 ms, above it 1/32 of the power of two below it, so a
quantile is right to 3.1 %. The cell follows from whole numbers alone, so that SQL and Python cannot disagree at an
edge:

    d < 32:  d
    else:    32 + (b - 6) * 32 + ((d >> (b - 6)) - 32), with b as the number of binary digits of d

In Spark SQL ``length(bin(d))`` is b and ``shiftright`` the shift.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from scipy.special import ndtri

from pegel.streaming.statistics.intervals import CONFIDENCE, Interval
from pegel.streaming.statistics.measured import UNDEFINED, Measured, rate

_BITS = 5
_PARTS = 1 << _BITS
LONGEST_MS = 2**40 - 1
"""35 years; a longer delay counts as this."""


@dataclass(frozen=True, slots=True)
class LabelDelay:
    """See :func:`label_delay`.

    Attributes:
        completeness: labelled events over events, 0 to 1.
        p50_s: the median delay of the labels that came, in seconds.
        p90_s: likewise, the time in which nine of ten came.
        half_labelled_s: the time after which half of all events had their label; not defined before half of them have.
    """

    completeness: Measured
    p50_s: Measured
    p90_s: Measured
    half_labelled_s: Measured


def delay_cell(milliseconds: int) -> int:
    """The cell of a delay; one below 0, by clocks that differ, counts as 0.

    Example:
        >>> [delay_cell(d) for d in (-5, 31, 32, 63, 64, 65, 66)]
        [0, 31, 32, 63, 64, 64, 65]
    """
    d = min(max(milliseconds, 0), LONGEST_MS)
    if d < _PARTS:
        return d
    shift = d.bit_length() - _BITS - 1
    return shift * _PARTS + (d >> shift)


def delay_bounds_ms(cell: int) -> tuple[int, int]:
    """The shortest delay of a cell, and the shortest that is longer than all of it, in milliseconds.

    Example:
        >>> delay_bounds_ms(31), delay_bounds_ms(64)
        ((31, 32), (64, 66))
    """
    shift = max(0, cell // _PARTS - 1)
    low = (cell - shift * _PARTS) << shift
    return low, low + (1 << shift)


def label_delay(delays: Mapping[int, int], events: int) -> LabelDelay:
    """Completeness and delays of the labels of some events.

    Intervals: Wilson's for the completeness, from the ranks around a quantile for the delays.

    Weakness: the delays are those of labels that came. While labels are still coming the slow ones are missing, so p50
    and p90 are too short; ``half_labelled_s`` is not, since it counts the events without a label as slower than all.

    Args:
        delays: cell -> labels. A label that was corrected counts once, with its first delay.
        events: that could have got a label.

    References:
        Conover 1999, "Practical nonparametric statistics", section 3.2 (the intervals of quantiles).

    Example:
        >>> found = label_delay({delay_cell(1000): 1, delay_cell(3000): 1}, events=4)
        >>> found.completeness.value, found.p50_s.value, found.half_labelled_s.value
        (0.5, 0.9995, 2.9755)
    """
    counted = sorted((cell, n) for cell, n in delays.items() if n > 0)
    labelled = sum(n for _, n in counted)
    return LabelDelay(
        rate(min(labelled, events), events),
        _quantile(counted, labelled, 0.5),
        _quantile(counted, labelled, 0.9),
        _quantile(counted, max(events, labelled), 0.5),
    )


def _quantile(counted: list[tuple[int, int]], n: int, share: float) -> Measured:
    value = _at(counted, n, share)
    if value is None:
        return UNDEFINED
    half = float(ndtri((1 + CONFIDENCE) / 2)) * sqrt(share * (1 - share) / n)
    lower, upper = _at(counted, n, max(share - half, 0.0)), _at(counted, n, share + half)
    interval = None if lower is None or upper is None else Interval(lower, upper)
    return Measured(value, n, interval)


def _at(counted: list[tuple[int, int]], n: int, share: float) -> float | None:
    # The smallest delay that at least this share of the n is not longer than; beyond those counted there is none.
    reached = 0
    for cell, count in counted:
        reached += count
        if reached >= share * n:
            low, high = delay_bounds_ms(cell)
            return (low + high - 1) / 2000
    return None
