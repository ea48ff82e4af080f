"""How much the blocks of a baseline differ from each other, beyond chance. Pure.

Real traffic wanders: blocks differ more than independent events would. A bound that ignores it rings for ever.
"""

from dataclasses import dataclass

import numpy as np

from pegel.streaming.statistics.cells import Bins, FloatArray, IntArray
from pegel.streaming.statistics.scores import legendre_scores
from pegel.streaming.statistics.share_test import MIN_EXPECTED

LAGS = (1, 2, 4, 8, 16, 32, 64)
"""So many last blocks are pooled and tested together."""

MIN_GROUPS = 10
"""A lag is used only if the baseline has this many groups of so many blocks."""

ENOUGH_BLOCKS = 1000
"""With so many blocks even a visible wander is known well enough.

Measured with a wander of 0.03 standard deviations: a false ring in 33,000 blocks, against one in 1,000 with 100 blocks.
"""

FEWEST_BLOCKS = 100

DEAD_BAND = 0.03
WIDE_DEAD_BAND = 0.05
"""Shifts below so many baseline standard deviations are not looked for."""

_VISIBLE_PHI = 1.5
_VISIBLE_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Over-dispersion of one column in its baseline's blocks.

    Attributes:
        blocks: how many blocks it was measured on.
        phi: for each lag that has enough groups, in the order of :data:`LAGS`: mean of T / df, at least 1, never
            falling.
        wander: the largest variance between groups beyond chance, in squared baseline standard deviations.
        autocorrelated: whether neighbouring blocks are visibly alike.
    """

    blocks: int
    phi: tuple[float, ...]
    wander: float
    autocorrelated: bool

    @property
    def calibrated(self) -> bool:
        """Whether the bound built on it keeps the false-alarm budget."""
        return self.blocks >= ENOUGH_BLOCKS or (self.blocks >= FEWEST_BLOCKS and not self.autocorrelated)

    @property
    def dead_band_squared(self) -> float:
        """Squared shift that is not looked for: wider where the traffic wanders."""
        restless = max(self.phi, default=1.0) > _VISIBLE_PHI
        if restless or (self.blocks < ENOUGH_BLOCKS and self.autocorrelated):
            return max(WIDE_DEAD_BAND**2, DEAD_BAND**2 + 9 * self.wander)
        return DEAD_BAND**2


def measure_dispersion(bins: Bins, blocks: IntArray) -> Dispersion:
    """Measure the over-dispersion of a baseline that was kept block by block.

    For lag L, groups of L following blocks are compared with the whole; as they are part of it, the variance is
    ``1/n_L - 1/m`` in place of ``1/n_L + 1/m``. ``phi_L`` is the mean of ``T / df``, at least 1; the wander is the
    largest ``(phi_L - 1) df (1/n_L - 1/m)``.

    Args:
        bins: of the column; only their labels and order matter here.
        blocks: counts per bin of each block, in order of time, shape ``(B, k)``; their sum is the baseline.

    References:
        Rao and Scott 1981, "The analysis of categorical data from complex sample surveys" (the design effect).

    Example:
        Blocks that swing between two bins, ten times further than chance:

        >>> from pegel.schemas.grids import GridColumn
        >>> from pegel.schemas.partials import Tally
        >>> from pegel.streaming.statistics.cells import make_bins
        >>> tally = Tally(categories={"x": {"a": 1000, "b": 1000}})
        >>> made = make_bins(GridColumn("x", "categorical", "output"), tally)
        >>> swing = np.array([[75, 25, 0, 0], [25, 75, 0, 0]] * 10)
        >>> found = measure_dispersion(made, swing)
        >>> round(found.phi[0], 2), found.autocorrelated
        (26.32, False)
    """
    whole = blocks.sum(axis=0)
    contrasts = _contrasts(bins, whole, blocks)
    phi: list[float] = []
    wander = 0.0
    for lag in LAGS:
        groups = len(blocks) // lag
        if groups < MIN_GROUPS:
            break
        scores, variance = _scores(contrasts, blocks[: groups * lag].reshape(groups, lag, -1).sum(axis=1), whole)
        df = scores.shape[1]
        phi.append(max(1.0, *phi, float(np.mean(scores**2)) if scores.size else 1.0))
        wander = max(wander, (phi[-1] - 1.0) * df * float(np.mean(variance)) if scores.size else 0.0)
    neighbours = _scores(contrasts, blocks, whole)[0]
    return Dispersion(len(blocks), tuple(phi), wander, _alike(neighbours))


def _contrasts(bins: Bins, whole: IntArray, blocks: IntArray) -> FloatArray:
    # Orthonormal functions of the bin, shape (df, k): T is the sum of their squared standardised means.
    shares = whole / max(1, whole.sum())
    rows: list[FloatArray] = []
    values = bins.ordered & (shares > 0)
    if values.any():
        inside = shares[values].sum()
        for score in legendre_scores(shares[values] / inside):
            row = np.zeros(bins.size)
            row[values] = score / np.sqrt(inside)
            rows.append(row)
    smallest = MIN_EXPECTED * len(blocks) / max(1, whole.sum())
    apart = [i for i in range(bins.size) if not values[i] and shares[i] >= smallest]
    members = [values, *(np.arange(bins.size) == i for i in apart)]
    rows += _between([m for m in members if m.any()], shares)
    return np.array(rows).reshape(len(rows), bins.size)


def _between(members: list[np.ndarray], shares: FloatArray) -> list[FloatArray]:
    # Helmert contrasts between groups of bins: each group against all before it.
    rows = []
    for i in range(1, len(members)):
        before = np.any(members[:i], axis=0)
        a, b = shares[before].sum(), shares[members[i]].sum()
        rows.append((np.where(members[i], a, 0.0) - np.where(before, b, 0.0)) / np.sqrt(a * b * (a + b)))
    return rows


def _scores(contrasts: FloatArray, counts: IntArray, whole: IntArray) -> tuple[FloatArray, FloatArray]:
    n, m = counts.sum(axis=1), whole.sum()
    usable = (n > 0) & (n < m)
    variance = 1 / n[usable] - 1 / m
    means = (counts[usable] / n[usable, None] - whole / m) @ contrasts.T
    return means / np.sqrt(variance)[:, None], variance


def _alike(scores: FloatArray) -> bool:
    squares = np.sum(scores**2, axis=0)
    if len(scores) < MIN_GROUPS or not np.any(squares > 0):
        return False
    products = np.sum(scores[1:] * scores[:-1], axis=0)[squares > 0]
    return bool(np.max(products / squares[squares > 0]) > _VISIBLE_STANDARD_ERRORS / np.sqrt(len(scores)))
