"""Which of a comparison's numbers say that something drifted. Pure.

A number counts if it is significant, among all that were tested, and its effect is large enough to matter.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pegel.schemas.comparison import ComparisonVerdict
from pegel.streaming.statistics.cells import FloatArray
from pegel.streaming.statistics.column_comparison import TESTS, Measured
from pegel.streaming.statistics.dispersion import WIDE_DEAD_BAND

LEVEL = 0.05
"""Of comparisons without any drift, this share at most has a number that says 'drifted'. Convention, not derived."""

MINIMUM_EFFECT = WIDE_DEAD_BAND
"""Shifts below so many baseline standard deviations do not matter: as far as alarms do not look without calibration."""


def verdicts(
    measured: Sequence[tuple[int, str, Measured]], level: float = LEVEL, minimum_effect: float = MINIMUM_EFFECT
) -> list[ComparisonVerdict]:
    """Judge all numbers of one comparison together.

    The family is every test of every column and chunk, corrected by Holm's method; metrics that share a test count
    once. What was not tested has too few rows and is not in the family. Where an effect is not defined, significance
    decides alone.

    Args:
        measured: chunk, column and number.
        level: chance that anything is called drifted without drift, 0 to 1.
        minimum_effect: in standard deviations of the baseline, from 0.
    """
    tests = {
        (chunk, column, TESTS[one.metric]): one.p_value for chunk, column, one in measured if one.p_value is not None
    }
    significant = dict(zip(tests, holm(np.array(list(tests.values()), dtype=float), level).tolist(), strict=True))

    def verdict(chunk: int, column: str, one: Measured) -> ComparisonVerdict:
        if one.p_value is None:
            return ComparisonVerdict.TOO_FEW
        matters = one.effect is None or one.effect >= minimum_effect
        drifted = matters and significant[chunk, column, TESTS[one.metric]]
        return ComparisonVerdict.DRIFTED if drifted else ComparisonVerdict.STABLE

    return [verdict(*row) for row in measured]


def holm(p_values: FloatArray, level: float) -> npt.NDArray[np.bool_]:
    """Holm's step-down method: which hypotheses fall while the chance of any wrong one stays within the level.

    Args:
        p_values: shape ``(k,)``, 0 to 1; they may depend on each other in any way.
        level: 0 to 1.

    References:
        Holm 1979, "A simple sequentially rejective multiple test procedure".

    Example:
        The smallest is held against 0.05 / 3, the next against 0.05 / 2, the last against 0.05:

        >>> holm(np.array([0.03, 0.01, 0.02]), 0.05).tolist()
        [True, True, True]
        >>> holm(np.array([0.03, 0.01, 0.026]), 0.05).tolist()
        [False, True, False]
    """
    order = np.argsort(p_values, kind="stable")
    falls = p_values[order] <= level / np.arange(p_values.size, 0, -1)
    rejected = np.zeros(p_values.size, dtype=bool)
    rejected[order] = np.logical_and.accumulate(falls)
    return rejected
