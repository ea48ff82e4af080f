"""What a comparison of two sets of rows says: one number about one column and chunk, and its verdict. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Metric(StrEnum):
    """The distances that a comparison knows, in the order of its rows."""

    PSI = "psi"
    JENSEN_SHANNON = "jensen_shannon"
    HELLINGER = "hellinger"
    TOTAL_VARIATION = "total_variation"
    L_INFINITY = "l_infinity"
    KS = "ks"
    WASSERSTEIN = "wasserstein"
    WASSERSTEIN_NORMALIZED = "wasserstein_normalized"
    CHI2 = "chi2"


class ComparisonVerdict(StrEnum):
    """What follows from a number, its p-value and its effect."""

    STABLE = "stable"
    DRIFTED = "drifted"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True)
class ComparedNumber:
    """One row of a comparison.

    Attributes:
        chunk: of the current rows, from 0.
        chunk_start: the number of its first row, from 0, or a time in ISO 8601, UTC.
        chunk_end: likewise, the first that is not in it.
        column: its name.
        metric: which distance.
        value: None if it is not defined, e.g. without rows or over a standard deviation of 0.
        n: rows of the chunk that it is made of.
        p_value: the chance of such a distance without drift at this n and with this baseline; None if not tested.
        effect: the size of the shift beyond chance, in standard deviations of the baseline; None if not defined.
        verdict: see :class:`ComparisonVerdict`.
        calibrated: whether the p-value knows how much chunks of the baseline differ from each other.
    """

    chunk: int
    chunk_start: int | str
    chunk_end: int | str
    column: str
    metric: Metric
    value: float | None
    n: int
    p_value: float | None
    effect: float | None
    verdict: ComparisonVerdict
    calibrated: bool
