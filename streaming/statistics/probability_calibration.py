"""What a score is worth: the chance that an answer is right, by the cell that its confidence is counted in. Pure.

Made once, from the labelled rows of a baseline, and kept with it. As the stream counts confidences in cells, a
calibrated probability is needed for each cell only, never for an event.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pegel.errors import ContractError
from pegel.streaming.statistics.cells import FloatArray, IntArray

FEWEST_ROWS = 100
"""Of the labelled rows that a calibration is made from. Convention, not derived."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A calibrated probability for each cell, and how sure it is.

    Cells that share one estimate are a block: an error of it is an error in all of them.

    Attributes:
        rates: the probability, 0 to 1, shape ``(k,)``.
        blocks: number of the block that each cell belongs to, from 0, shape ``(k,)``.
        rows: labelled rows behind each block, shape ``(blocks,)``.
    """

    rates: FloatArray
    blocks: IntArray
    rows: FloatArray


def isotonic(hits: IntArray, rows: IntArray) -> Calibration:
    """The ascending probabilities that fit best, by isotonic regression; the usual choice.

    Cells whose fitted rates are equal are a block. A cell that had no row lies on the line between its neighbours, as
    in scikit-learn, and belongs to the nearest block below it; beyond the first and the last the rate stays.

    It assumes nothing but that a higher score is never worse. Weakness: with few rows its steps are coarse, and it says
    nothing about cells that had none: see :mod:`~pegel.streaming.statistics.support`.

    Args:
        hits: rows that were right, by cell in ascending order of the confidence, shape ``(k,)``.
        rows: all rows by cell, shape ``(k,)``.

    Raises:
        ContractError: if there are fewer than :data:`FEWEST_ROWS` rows.

    References:
        Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates".

    Example:
        Rates of 0.5, 0.4 and 0.9 do not ascend, so the first two become one.

        >>> made = isotonic(np.array([50, 40, 0, 90]), np.array([100, 100, 0, 100]))
        >>> made.rates.round(9).tolist(), made.blocks.tolist(), made.rows.tolist()
        ([0.45, 0.45, 0.675, 0.9], [0, 0, 0, 1], [200.0, 100.0])
    """
    from scipy.optimize import isotonic_regression

    cells, shares = _occupied(hits, rows)
    fitted = isotonic_regression(shares, weights=rows[cells])
    # Which block each cell with rows is in; a cell without any is in that of the last one below it.
    of_occupied = np.repeat(np.arange(fitted.weights.size), np.diff(fitted.blocks))
    blocks = of_occupied[np.maximum(np.searchsorted(cells, np.arange(rows.size), side="right") - 1, 0)]
    rates: FloatArray = np.interp(np.arange(rows.size), cells, fitted.x)
    return Calibration(rates, blocks, np.asarray(fitted.weights, dtype=np.float64))


def platt(hits: IntArray, rows: IntArray, confidences: FloatArray) -> Calibration:
    """Platt's sigmoid of the confidence's logit, by scikit-learn's logistic regression: two numbers, for few rows.

    All cells are one block, whose rows are half of all, since two numbers are estimated from them.

    Weakness: it fits only what is off by a slope and a shift. Prefer :func:`isotonic` from about 1,000 rows on.

    Args:
        hits: rows that were right, by cell in ascending order of the confidence, shape ``(k,)``.
        rows: all rows by cell, shape ``(k,)``.
        confidences: of each cell, 0 to 1, shape ``(k,)``.

    Raises:
        ContractError: if there are fewer than :data:`FEWEST_ROWS` rows, or if all were right or all wrong.

    References:
        Platt 1999, "Probabilistic outputs for support vector machines"; Niculescu-Mizil and Caruana 2005 (how many
        rows).
    """
    from sklearn.linear_model import LogisticRegression

    cells, _ = _occupied(hits, rows)
    wrong = rows - hits
    if not hits.sum() or not wrong.sum():
        msg = f"of {rows.sum()} labelled rows {hits.sum()} were right, so there is nothing to fit; use other rows"
        raise ContractError(msg)
    # Far enough from 0 and 1 that a saturated score does not decide alone.
    inside = np.clip(confidences, 1e-6, 1 - 1e-6)
    scores = (np.log(inside) - np.log1p(-inside))[:, None]
    model: Any = LogisticRegression(C=np.inf)
    model.fit(
        np.concatenate([scores[cells], scores[cells]]),
        np.repeat([1, 0], cells.size),
        sample_weight=np.concatenate([hits[cells], wrong[cells]]),
    )
    rates: FloatArray = model.predict_proba(scores)[:, 1]
    return Calibration(rates, np.zeros(rows.size, dtype=np.int64), np.array([rows.sum() / 2]))


def _occupied(hits: IntArray, rows: IntArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    if int(rows.sum()) < FEWEST_ROWS:
        msg = f"a calibration needs {FEWEST_ROWS} labelled rows, but the baseline has {rows.sum()}; give it more"
        raise ContractError(msg)
    cells = np.flatnonzero(rows)
    return cells, hits[cells] / rows[cells]
