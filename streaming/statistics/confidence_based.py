"""Quality without labels: confidence-based performance estimation (CBPE) from counts in cells. Pure.

If a calibrated model says 0.8, it is right in 80 % of such cases. So the expected number of right answers among any
events is the sum of their calibrated confidences, and all measures follow from expected counts. Confidences are counted
in the cells of a grid, so the sum is one product of two vectors, for any window, segment or roll-up.

It assumes that an answer with this confidence is right as often as it was in the baseline. That holds while only the
mix of known cases changes. It fails where the world changes what is right (concept drift), and where events come that
the baseline has never seen: there models are too sure of themselves. The first cannot be seen without labels; the
second is what :mod:`~pegel.streaming.statistics.support` looks for, and
:mod:`~pegel.streaming.statistics.estimate_grading` says how far estimates were off when labels came.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import ndtri

from pegel.streaming.statistics.cells import IntArray
from pegel.streaming.statistics.intervals import CONFIDENCE, Interval
from pegel.streaming.statistics.measured import UNDEFINED, Measured
from pegel.streaming.statistics.probability_calibration import Calibration
from pegel.streaming.statistics.ranking_quality import average_precision, roc_auc

_Z = float(ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True)
class ExpectedCounts:
    """The confusion matrix that is expected, one class against the rest; not whole numbers.

    Attributes:
        true_positives: of the events that got this output.
        false_positives: likewise.
        false_negatives: of the events that got another output.
        true_negatives: likewise.
    """

    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float


@dataclass(frozen=True, slots=True)
class EstimatedQuality:
    """Measures of one class that are expected without labels; intervals as in :func:`estimate_accuracy`."""

    accuracy: Measured
    precision: Measured
    recall: Measured
    specificity: Measured
    f1: Measured
    roc_auc: Measured
    average_precision: Measured


def estimate_accuracy(events: IntArray, correctness: Calibration, error_sd: float = 0.0) -> Measured:
    """The accuracy that is expected: the mean calibrated confidence, 0 to 1.

    The interval is about the accuracy that the labels of these very events will show. Three things move it: that each
    answer is right by chance, ``sum(n_c r_c (1 - r_c)) / n^2``; that each block's rate r was estimated from m rows,
    ``sum((n_b / n)^2 r (1 - r) / m)``; and by how much estimates were off before, the grade.

    NannyML's definition for two classes, and for many with one departure: it calibrates the probability of each class
    and makes these add up to 1 for every event, while here it is the highest one that is calibrated, to whether the
    answer was right. So what is counted of an event is one cell, not one for each class.

    Args:
        events: by cell of the confidence, shape ``(k,)``; those without one are left out, and not in n.
        correctness: the chance that an answer with a confidence of this cell is right.
        error_sd: see :func:`~pegel.streaming.statistics.estimate_grading.grade`.

    References:
        NannyML, "Estimation of performance of the monitored model", CBPE; Guo et al. 2017 (confidence calibration);
        Garg, Balakrishnan, Lipton, Neyshabur and Sedghi 2022, "Leveraging unlabeled data to predict
        out-of-distribution performance" (average confidence, and where it fails).

    Example:
        Six events of which half should be right, and two that always are.

        >>> made = Calibration(np.array([0.5, 1.0]), np.array([0, 1]), np.array([50.0, 50.0]))
        >>> estimate_accuracy(np.array([6, 2]), made).value
        0.625
    """
    return _Expected(events, np.zeros_like(events), correctness, error_sd).ratio((0, 1, 0), (int(events.sum()), 0, 0))


def expected_counts(chosen: IntArray, others: IntArray, calibration: Calibration) -> ExpectedCounts:
    """The expected confusion matrix of one class against the rest.

    Args:
        chosen: events that got this output, by cell of the probability of this class, shape ``(k,)``.
        others: events that got another output, by the same cells.
        calibration: the chance that an event whose probability lies in the cell has this class as its label.

    Example:
        >>> made = Calibration(np.array([0.25, 0.75]), np.array([0, 1]), np.array([50.0, 50.0]))
        >>> expected_counts(np.array([0, 4]), np.array([4, 0]), made)
        ExpectedCounts(true_positives=3.0, false_positives=1.0, false_negatives=1.0, true_negatives=3.0)
    """
    hits, missed = float(chosen @ calibration.rates), float(others @ calibration.rates)
    return ExpectedCounts(hits, float(chosen.sum()) - hits, missed, float(others.sum()) - missed)


def estimate_quality(
    chosen: IntArray, others: IntArray, calibration: Calibration, error_sd: float = 0.0
) -> EstimatedQuality:
    """The measures of one class against the rest that are expected, each 0 to 1.

    NannyML's definitions: each is the usual ratio of the expected counts; the areas are those of the curves in which
    each event counts as a positive with its calibrated probability and as a negative with the rest. The mean over
    classes is :func:`~pegel.streaming.statistics.measured.mean_of`.

    Args:
        chosen: see :func:`expected_counts`.
        others: likewise.
        calibration: likewise.
        error_sd: of these estimates' earlier errors.

    Returns:
        what is not defined (no event with this output, say) is None. The intervals of the areas know nothing of the
        calibration's error.

    Example:
        >>> made = Calibration(np.array([0.25, 0.75]), np.array([0, 1]), np.array([50.0, 50.0]))
        >>> found = estimate_quality(np.array([0, 4]), np.array([4, 0]), made)
        >>> found.precision.value, found.recall.value, found.roc_auc.value
        (0.75, 0.75, 0.75)
    """
    expected = _Expected(chosen, others, calibration, error_sd)
    named, rest = int(chosen.sum()), int(others.sum())
    positives = (chosen + others) * calibration.rates
    negatives = (chosen + others) - positives
    return EstimatedQuality(
        accuracy=expected.ratio((rest, 1, -1), (named + rest, 0, 0)),
        precision=expected.ratio((0, 1, 0), (named, 0, 0)),
        recall=expected.ratio((0, 1, 0), (0, 1, 1)),
        specificity=expected.ratio((rest, 0, -1), (named + rest, -1, -1)),
        f1=expected.ratio((0, 1, 0), (named / 2, 0.5, 0.5)),
        roc_auc=roc_auc(positives, negatives),
        average_precision=average_precision(positives, negatives),
    )


_Linear = tuple[float, float, float]
# A constant, and the factors of the expected positives among the chosen and among the others.


@dataclass(frozen=True, slots=True, eq=False)
class _Expected:
    chosen: IntArray
    others: IntArray
    calibration: Calibration
    error_sd: float

    def ratio(self, top: _Linear, bottom: _Linear) -> Measured:
        """A ratio of two linear functions of the expected positives; its variance is that of the delta method."""
        rates, blocks = self.calibration.rates, self.calibration.blocks
        at = np.array([1.0, float(self.chosen @ rates), float(self.others @ rates)])
        whole = float(at @ bottom)
        if whole <= 0:
            return UNDEFINED
        value = float(at @ top) / whole
        by_chosen, by_others = ((t - value * b) / whole for t, b in zip(top[1:], bottom[1:], strict=True))
        variance = self.error_sd**2
        variance += float((self.chosen * by_chosen**2 + self.others * by_others**2) @ (rates * (1 - rates)))
        # Half a row more of each kind, or a block without a miss would count as known for certain.
        rows = self.calibration.rows[blocks]
        smoothed = (rates * rows + 0.5) / (rows + 1)
        moved = (self.chosen * by_chosen + self.others * by_others) * np.sqrt(smoothed * (1 - smoothed))
        variance += float(np.sum(np.bincount(blocks, weights=moved) ** 2 / self.calibration.rows))
        half = _Z * sqrt(variance)
        return Measured(value, round(whole), Interval(max(0.0, value - half), min(1.0, value + half)))
