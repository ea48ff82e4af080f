"""How good probabilities are: log loss, Brier score and calibration error from sums of whole numbers. Pure.

What an event adds to a mean is rounded to 1 / 65,536 and summed as a whole number, with its square, so sums add up in
any order. The rounding moves a mean by at most 1 / 131,072.
"""

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from scipy.special import ndtri

from pegel.streaming.statistics.cells import FloatArray, IntArray, Moments
from pegel.streaming.statistics.intervals import CONFIDENCE, Interval, mean_interval
from pegel.streaming.statistics.measured import UNDEFINED, Measured

SUM_SCALE = 65_536
"""Sums are of ``q = floor(SUM_SCALE * x + 0.5)``."""

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""A probability of 0 for what happened would cost an infinite loss; scikit-learn takes this one instead, too."""

CALIBRATION_BINS = 15
"""Source: Guo et al. 2017, a convention."""

_Z = float(ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of a quantity that each event adds to.

    Attributes:
        n: events.
        q: sum of the rounded quantity.
        q2: sum of its squares.
    """

    n: int
    q: int
    q2: int

    def __add__(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(self.n + other.n, self.q + other.q, self.q2 + other.q2)

    def __sub__(self, other: "Sums") -> "Sums":
        """These without the others, as where a label is corrected."""
        return Sums(self.n - other.n, self.q - other.q, self.q2 - other.q2)


def sums_of(quantity: FloatArray) -> Sums:
    """Round and sum.

    Args:
        quantity: one an event, shape ``(n,)``, each below 2,000,000 in size.

    Example:
        >>> sums_of(np.array([0.5, 0.25]))
        Sums(n=2, q=49152, q2=1342177280)
    """
    q = np.floor(SUM_SCALE * quantity + 0.5).astype(np.int64).tolist()
    return Sums(len(q), sum(q), sum(each * each for each in q))


def log_losses(probability_of_label: FloatArray) -> FloatArray:
    """What each event adds to the log loss: ``-ln p``, with p as the probability that was given to its label.

    Args:
        probability_of_label: 0 to 1, shape ``(n,)``; 0 for a label that got none.

    Returns:
        shape ``(n,)``, 0 to 36.04, nats.
    """
    losses: FloatArray = -np.log(np.clip(probability_of_label, SMALLEST_PROBABILITY, 1.0))
    return losses


def brier_losses(probability_of_label: FloatArray, sum_of_squares: FloatArray) -> FloatArray:
    """What each event adds to the Brier score: ``sum((p_k - y_k)^2)`` over the classes, y being 1 for its label.

    That is ``sum(p_k^2) - 2 p + 1`` with p as the probability of its label. For two classes it is twice the square of
    one class's distance, which is what many call Brier's score; halve it then.

    Args:
        probability_of_label: 0 to 1, shape ``(n,)``.
        sum_of_squares: of all probabilities of the event, shape ``(n,)``.

    Returns:
        shape ``(n,)``, 0 to 2.

    References:
        Brier 1950, "Verification of forecasts expressed in terms of probability".

    Example:
        0.8 for what happened and 0.2 for the other: 0.2^2 + 0.2^2.

        >>> brier_losses(np.array([0.8]), np.array([0.68])).round(9).tolist()
        [0.08]
    """
    losses: FloatArray = sum_of_squares - 2 * probability_of_label + 1
    return losses


def mean_of_sums(sums: Sums) -> Measured:
    """The mean of the quantity with Student's interval: log loss (0 and up) or Brier score (0 to 2), lower is better.

    Weakness: losses are skewed, so with few events the interval is too narrow above. One event that was called
    impossible adds 36 / n to a log loss.

    Example:
        >>> mean_of_sums(sums_of(np.array([0.5, 0.25]))).value
        0.375
    """
    if sums.n <= 0:
        return UNDEFINED
    n, q = sums.n, sums.q
    # A whole number, so that equal events have a standard deviation of exactly 0.
    spread = max(0, n * sums.q2 - q * q)
    sd = sqrt(spread / (n * (n - 1))) / SUM_SCALE if n > 1 else None
    found = Moments(n, q / (n * SUM_SCALE), sd)
    return Measured(found.mean, n, mean_interval(found))


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """See :func:`calibration_error`.

    Attributes:
        error: the expected calibration error.
        by_chance: what a perfectly calibrated model would show at these counts.
    """

    error: Measured
    by_chance: float | None


def calibration_error(events: IntArray, hits: IntArray, confidence_q: IntArray) -> CalibrationError:
    """How far stated confidence lies from what came true: ``sum(n_b / n * abs(hits_b / n_b - confidence_b))``, 0 to 1.

    Args:
        events: labelled events whose confidence lies in the bin, shape ``(b,)``.
        hits: those of them with the right output, shape ``(b,)``.
        confidence_q: sum of their confidences, each times :data:`SUM_SCALE` and rounded, shape ``(b,)``.

    Returns:
        the error, which is too high on the average, since chance makes gaps where there are none. ``by_chance`` is how
        much of it a calibrated model would show: ``sum(n_b / n * sqrt(2 v_b / pi))`` with v as the variance of the
        bin's mean. The interval is that of the delta method, with ``by_chance`` more room below: it is rather too wide.
        It speaks of the error by these bins; within a bin, gaps of different signs cancel.

    References:
        Naeini, Cooper and Hauskrecht 2015; Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural
        networks"; for the bias Roelofs et al. 2022, "Mitigating bias in calibration error estimation".

    Example:
        Ten at 0.5, of which six came true, and ten at 1, all true: 0.5 * 0.1 + 0.5 * 0.

        >>> q = np.array([10 * 32768, 10 * 65536])
        >>> round(calibration_error(np.array([10, 10]), np.array([6, 10]), q).error.value, 9)
        0.05
    """
    used = events > 0
    n = int(events[used].sum())
    if not n:
        return CalibrationError(UNDEFINED, None)
    per_bin, share = events[used], events[used] / n
    observed, confidence = hits[used] / per_bin, confidence_q[used] / (per_bin * SUM_SCALE)
    value = float(share @ np.abs(observed - confidence))
    chance = float(share @ np.sqrt(2 * confidence * (1 - confidence) / (pi * per_bin)))
    # Half an event more of each kind, or a bin without a miss would count as certain.
    smoothed = (hits[used] + 0.5) / (per_bin + 1)
    se = sqrt(float(np.sum(share**2 * smoothed * (1 - smoothed) / per_bin)))
    half = _Z * se
    return CalibrationError(
        Measured(value, n, Interval(max(0.0, value - chance - half), min(1.0, value + half))), chance
    )
