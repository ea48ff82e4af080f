"""How well scores put positives before negatives: ROC AUC and average precision from counts in cells. Pure.

Scores are counted in the cells of any grid, positives and negatives apart; such counts add up. Within a cell nobody
knows the order, so each number says by how much it may differ from that of the raw scores (``grid_error``). With every
score in a cell of its own it is exact.
"""

from math import sqrt

import numpy as np
from scipy.special import expit, logit, ndtri, psi

from pegel.streaming.statistics.cells import FloatArray, IntArray
from pegel.streaming.statistics.intervals import CONFIDENCE, Interval, wilson
from pegel.streaming.statistics.measured import UNDEFINED, Measured

Counts = IntArray | FloatArray


def roc_auc(positives: Counts, negatives: Counts) -> Measured:
    """The chance that a positive scores higher than a negative, ties counting half: 0 to 1, 0.5 for a guess.

    ``sum(P_c (below_c + N_c / 2)) / (P N)``, the area by trapezoids under the ROC curve that has a point for each cell;
    ``below_c`` is how many negatives lie in lower cells. Raw scores may win or lose every tie within a cell, so they
    give the same up to ``sum(P_c N_c) / (2 P N)``.

    The interval is DeLong's, made on the logit's scale so that it keeps within 0 and 1, and widened by the grid error.
    Where all are in order (or all in reverse) that has no width: then it is Wilson's for min(P, N) pairs. It is the
    better, the more there are of the rarer class; below ten of them it says little.

    Weakness: it knows no threshold and no prevalence. A rare class may have a high area and few hits among its alarms.

    Args:
        positives: counts in ascending order of the score, shape ``(k,)``. Need not be whole: expected counts will do.
        negatives: likewise, same shape.

    Returns:
        n is P + N; not defined without both.

    References:
        Hanley and McNeil 1982; DeLong, DeLong and Clarke-Pearson 1988; Pepe 2003, section 5.2 (on the logit's scale).

    Example:
        Positives in cells 1 and 2, negatives in 0 and 1. Of four pairs three are in order and one is a tie.

        >>> found = roc_auc(np.array([0, 1, 1]), np.array([1, 1, 0]))
        >>> found.value, found.grid_error
        (0.875, 0.125)
    """
    p, n = float(positives.sum()), float(negatives.sum())
    if p <= 0 or n <= 0:
        return UNDEFINED
    won = (np.cumsum(negatives) - negatives / 2) / n
    lost = (p - np.cumsum(positives) + positives / 2) / p
    area = float(positives @ won) / p
    error = float(positives @ negatives) / (2 * p * n)
    variance = float(positives @ (won - area) ** 2) / (p * max(p - 1, 1))
    variance += float(negatives @ (lost - area) ** 2) / (n * max(n - 1, 1))
    return Measured(area, round(p + n), _interval(area, variance, min(p, n), error), error)


def average_precision(positives: Counts, negatives: Counts) -> Measured:
    """The mean, over the positives, of the precision at their score: (0, 1], about P / (P + N) for a guess.

    With ``T_c`` and ``F_c`` as positives and negatives in cell c and above, ``sum(P_c T_c / (T_c + F_c)) / P``: no
    interpolation, so no optimism between points. In raw scores all of a cell's positives may come before its negatives,
    or one by one after them; the grid error is the larger of the two distances.

    The interval is the logit interval, with a standard error of ``1 / sqrt(P v (1 - v))`` on the logit's scale, widened
    by the grid error; Wilson's for P events where the value is 1.

    Weakness: it depends on how frequent positives are, so two windows are alike only if their prevalence is.

    Args:
        positives: counts in ascending order of the score, shape ``(k,)``. Need not be whole.
        negatives: likewise, same shape.

    Returns:
        n is P + N; not defined without positives.

    References:
        Boyd, Eng and Page 2013, "Area under the precision-recall curve: point estimates and confidence intervals".

    Example:
        From the top: a positive, a negative, a positive. (1 + 2 / 3) / 2.

        >>> round(average_precision(np.array([1, 0, 1]), np.array([0, 1, 0])).value, 4)
        0.8333
    """
    p, n = float(positives.sum()), float(negatives.sum())
    if p <= 0:
        return UNDEFINED
    own, others = positives[::-1].astype(float), negatives[::-1].astype(float)
    hits, alarms = np.cumsum(own), np.cumsum(own + others)
    used = own > 0
    own, others, hits, alarms = own[used], others[used], hits[used], alarms[used]
    value = float(own @ (hits / alarms)) / p
    highest = float(own @ (hits / (alarms - others))) / p
    # One by one after the cell's negatives: the i-th has hits t + i among t + i + f, and the sum of 1 / (t + i + f) is
    # a difference of two digammas.
    wrong = alarms - hits
    lowest = float(np.sum(own - wrong * (psi(alarms + 1) - psi(alarms - own + 1)))) / p
    error = max(highest - value, value - lowest)
    variance = value * (1 - value) / p
    return Measured(value, round(p + n), _interval(value, variance, p, error), error)


def _interval(value: float, variance: float, n: float, error: float) -> Interval | None:
    inner: Interval | None
    if 0 < value < 1 and variance > 0:
        half = float(ndtri((1 + CONFIDENCE) / 2)) * sqrt(variance) / (value * (1 - value))
        inner = Interval(float(expit(logit(value) - half)), float(expit(logit(value) + half)))
    else:
        # A variance of 0 between the ends: all positives are tied with the same negatives.
        inner = wilson(round(value * round(n)), round(n))
    if inner is None:
        return None
    return Interval(max(0.0, min(inner.lower, value) - error), min(1.0, max(inner.upper, value) + error))
