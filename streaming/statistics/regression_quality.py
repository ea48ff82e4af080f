"""How good a model of numbers is, from sums of whole numbers: MAE, RMSE, MAPE, R squared. Pure.

Errors and labels are rounded to 1 / 1,024 of scales that are frozen with the baseline, and sums of their powers and
products are kept: whole numbers, so the same in any order, and a label that is corrected leaves no trace. They need
more than 64 bits: at most ``n * 2^80``, so a decimal of 38 digits.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from math import exp, sqrt

import numpy as np
from scipy.special import ndtri

from pegel.errors import ContractError
from pegel.streaming.statistics.cells import FloatArray, Moments
from pegel.streaming.statistics.intervals import CONFIDENCE, Interval, mean_interval
from pegel.streaming.statistics.measured import UNDEFINED, Measured

SUM_SCALE = 1024
RATIO_SCALE = 65_536
LIMIT = 2**20
"""A rounded error or label beyond this, 1,024 scales, counts as this, and is counted as saturated."""

RATIO_LIMIT = 2**36
"""Likewise a rounded relative error: a million times the label."""

_Z = float(ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True)
class Scales:
    """What is frozen with the baseline.

    Attributes:
        label_center: its labels' median.
        label_scale: their interquartile range, above 0.
        error_scale: the interquartile range of its errors, above 0.
    """

    label_center: float
    label_scale: float
    error_scale: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over labelled events; e is the rounded error (output less label), y the rounded label, r the relative error.

    Attributes:
        n: events.
        saturated: events with a value beyond its limit.
        zero_labels: events whose label is 0, which have no relative error.
        abs_e: of the sizes of the errors; the others likewise, of the powers and products in their names.
    """

    n: int = 0
    saturated: int = 0
    zero_labels: int = 0
    abs_e: int = 0
    e2: int = 0
    e4: int = 0
    y: int = 0
    y2: int = 0
    y3: int = 0
    y4: int = 0
    e2_y: int = 0
    e2_y2: int = 0
    r: int = 0
    r2: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Sums") -> "Sums":
        """These without the others, as where a label is corrected."""
        return Sums(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class RegressionQuality:
    """See :func:`regression_quality`.

    Attributes:
        mae: mean absolute error, in the label's unit.
        rmse: root of the mean squared error, in the label's unit.
        mape: mean of abs(error / label), 1 being 100 %.
        r2: share of the labels' variance that is explained, at most 1.
        saturated: events that count with less than their true error: if there are any, the errors are at least these.
    """

    mae: Measured
    rmse: Measured
    mape: Measured
    r2: Measured
    saturated: int


def sums_of(labels: Sequence[float], outputs: Sequence[float], scales: Scales) -> Sums:
    """Round and sum.

    Args:
        labels: the true numbers, finite.
        outputs: what the model said, finite, in the same order.
        scales: of the baseline.

    Raises:
        ContractError: if a number is not finite, or a scale is not above 0.

    Example:
        >>> found = sums_of([1.0, 2.0], [2.0, 2.0], Scales(label_center=1.0, label_scale=1.0, error_scale=2.0))
        >>> found.n, found.abs_e, found.e2, found.y, found.r
        (2, 512, 262144, 1024, 65536)
    """
    truth, said = np.asarray(labels, dtype=np.float64), np.asarray(outputs, dtype=np.float64)
    if not (np.isfinite(truth).all() and np.isfinite(said).all()):
        msg = "a label or an output is not finite, so it has no error; leave such events out and count them as missing"
        raise ContractError(msg)
    if not (scales.label_scale > 0 and scales.error_scale > 0):
        msg = f"the scales of a regression must be above 0, but they are {scales}; take 1 where a range is 0"
        raise ContractError(msg)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        error = said - truth
        ratio = np.where(truth != 0, np.abs(error) / np.abs(truth), 0.0)
        e, beyond_e = _rounded(error / scales.error_scale, SUM_SCALE, LIMIT)
        y, beyond_y = _rounded((truth - scales.label_center) / scales.label_scale, SUM_SCALE, LIMIT)
        r, beyond_r = _rounded(ratio, RATIO_SCALE, RATIO_LIMIT)
    # Python's own whole numbers, which have room for the products.
    rows = [(int(a), int(b), int(c)) for a, b, c in zip(e, y, r, strict=True)]
    return Sums(
        n=len(rows),
        saturated=int((beyond_e | beyond_y | beyond_r).sum()),
        zero_labels=int((truth == 0).sum()),
        abs_e=sum(abs(e) for e, _, _ in rows),
        e2=sum(e**2 for e, _, _ in rows),
        e4=sum(e**4 for e, _, _ in rows),
        y=sum(y for _, y, _ in rows),
        y2=sum(y**2 for _, y, _ in rows),
        y3=sum(y**3 for _, y, _ in rows),
        y4=sum(y**4 for _, y, _ in rows),
        e2_y=sum(e**2 * y for e, y, _ in rows),
        e2_y2=sum(e**2 * y**2 for e, y, _ in rows),
        r=sum(r for _, _, r in rows),
        r2=sum(r**2 for _, _, r in rows),
    )


def regression_quality(sums: Sums, scales: Scales) -> RegressionQuality:
    """The measures of a regression and their intervals; lower is better, but for R squared.

    - MAE = mean(abs(e)) and MAPE = mean(abs(e / y)), with Student's intervals. A label of 0 has no relative error
      and is left out of MAPE (scikit-learn divides by 2.2e-16 instead).
    - RMSE = sqrt(mean(e^2)), by the delta method on the logarithm.
    - R squared = 1 - sum(e^2) / sum((y - mean(y))^2), by the delta method on the logarithm of what is unexplained. Not
      defined where all labels are equal. Below 0 the model is worse than the mean of these labels.

    Rounding moves the MAE by at most ``error_scale / 2048``. Weakness: one outlier decides a RMSE, a label near 0 a
    MAPE; R squared depends on how much the labels of a window happen to vary. A perfect model has an
    interval without width.

    Args:
        sums: of the labelled events.
        scales: those that were summed with.

    References:
        Hyndman and Koehler 2006, "Another look at measures of forecast accuracy"; for the delta method van der Vaart
        1998, "Asymptotic statistics", chapter 3.

    Example:
        Labels 1 and 3, both called 2: errors of 1, so what is left is all there was.

        >>> scales = Scales(label_center=0.0, label_scale=1.0, error_scale=1.0)
        >>> found = regression_quality(sums_of([1.0, 3.0], [2.0, 2.0], scales), scales)
        >>> found.mae.value, found.rmse.value, round(found.mape.value, 4), found.r2.value
        (1.0, 1.0, 0.6667, 0.0)
    """
    if sums.n <= 0:
        return RegressionQuality(UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, sums.saturated)
    unit = scales.error_scale / SUM_SCALE
    mae = _mean(sums.n, sums.abs_e, sums.e2, unit)
    mape = _mean(sums.n - sums.zero_labels, sums.r, sums.r2, 1 / RATIO_SCALE)
    return RegressionQuality(mae, _rmse(sums, unit), mape, _r_squared(sums, scales), sums.saturated)


def _rounded(values: FloatArray, scale: int, limit: int) -> tuple[list[int], np.ndarray]:
    scaled = values * scale
    beyond = ~(np.abs(scaled) <= limit)
    return np.floor(np.clip(scaled, -limit, limit) + 0.5).astype(np.int64).tolist(), beyond


def _mean(n: int, total: int, squares: int, unit: float) -> Measured:
    if n <= 0:
        return UNDEFINED
    # A whole number: the difference of the two is exact, however close they are.
    spread = max(0, n * squares - total * total)
    sd = unit * sqrt(spread / (n * (n - 1))) if n > 1 else None
    found = Moments(n, unit * (total / n), sd)
    interval = mean_interval(found)
    if interval is not None:
        interval = Interval(max(0.0, interval.lower), interval.upper)
    return Measured(found.mean, n, interval)


def _rmse(sums: Sums, unit: float) -> Measured:
    value = unit * sqrt(sums.e2 / sums.n)
    if sums.n < 2:
        return Measured(value, sums.n)
    # The variance of mean(e^2) over its square, and half of it on the root's logarithm.
    spread = max(0, sums.n * sums.e4 - sums.e2**2)
    half = _Z / 2 * sqrt(spread / (sums.e2**2 * (sums.n - 1))) if sums.e2 else 0.0
    return Measured(value, sums.n, Interval(value * exp(-half), value * exp(half)))


def _r_squared(sums: Sums, scales: Scales) -> Measured:
    n = sums.n
    spread = n * sums.y2 - sums.y**2
    if spread <= 0:
        return UNDEFINED
    # Both in rounded units; mean(d) with d = (y - mean(y))^2 is spread / n^2.
    left, labels = sums.e2 / n, spread / n**2
    ratio = left / labels
    # n times the sums of e^2 d and d^2, times further powers of n, so that no difference is taken of rounded numbers.
    e2_d = (n**2 * sums.e2_y2 - 2 * n * sums.y * sums.e2_y + sums.y**2 * sums.e2) / n**3
    d2 = (n**3 * sums.y4 - 4 * n**2 * sums.y * sums.y3 + 6 * n * sums.y**2 * sums.y2 - 3 * sums.y**4) / n**4
    variance = max(0.0, sums.e4 / n - 2 * ratio * e2_d + ratio**2 * d2) / labels**2 / n
    half = _Z * sqrt(variance) / ratio if ratio else 0.0
    unexplained = ratio * (scales.error_scale / scales.label_scale) ** 2
    return Measured(1 - unexplained, n, Interval(1 - unexplained * exp(half), 1 - unexplained * exp(-half)))
