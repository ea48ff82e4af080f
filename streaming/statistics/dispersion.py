"""How much blocks without drift differ from each other, beyond chance. Pure.

Real traffic wanders: blocks differ more than independent events would. A bound that ignores it rings for ever. The
variance between groups of 1, 2, 4, ... following blocks is learned block by block, in a memory that grows with the
logarithm of their number.
"""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np

from pegel.errors import ContractError
from pegel.streaming.statistics.cells import Bins, FloatArray, IntArray
from pegel.streaming.statistics.scores import legendre_scores

LAGS = (1, 2, 4, 8, 16, 32, 64)
"""So many last blocks are pooled and tested together."""

MIN_GROUPS = 10
"""A lag is used only if this many groups of so many blocks were seen."""

ENOUGH_BLOCKS = 1000
"""With so many blocks even a visible wander is known well enough."""

FEWEST_BLOCKS = 100

WIDE_DEAD_BAND = 0.05
"""While the wander is not known, a shift of so many baseline standard deviations is not looked for."""

_RARE = 0.01
"""Categories with a smaller share are taken together: alone they would say more about chance than about the wander."""

_VISIBLE_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Dispersion:
    """The spread of one column between blocks without drift.

    Attributes:
        blocks: how many blocks it was measured on.
        wander: for each lag that has enough groups, in the order of :data:`LAGS`: the variance between groups beyond
            chance, in squared baseline standard deviations, all directions together; at least 0.
        known_by: for each of them the degrees of freedom of that estimate: groups that are independent of each other,
            less one.
        autocorrelated: whether neighbouring blocks are visibly alike.
        events: how many events they had together.
    """

    blocks: int
    wander: tuple[float, ...]
    known_by: tuple[float, ...]
    autocorrelated: bool
    events: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether the bound built on it keeps the false-alarm budget."""
        return self.blocks >= ENOUGH_BLOCKS or (self.blocks >= FEWEST_BLOCKS and not self.autocorrelated)

    def lag_of(self, n: int) -> int:
        """The longest lag whose groups had no more than n events on average, 1 at least: longer means wander less.

        Example:
            >>> Dispersion(100, (0.1, 0.08), (99.0, 49.0), autocorrelated=True, events=50_000).lag_of(2500)
            2
        """
        blocks = n * self.blocks / max(1, self.events)
        return max((lag for lag in LAGS[: len(self.wander)] if lag <= blocks), default=1)


@dataclass(slots=True)
class _Level:
    # Groups of 2^level blocks: how many, sum of n |mean score|^2, sum of n^2, and one that waits for its partner.
    groups: int = 0
    squares: float = 0.0
    sizes: int = 0
    waiting: IntArray | None = None


@dataclass(slots=True)
class SpreadLearner:
    """Learns the :class:`Dispersion` of one column, block by block.

    A one-way analysis of variance for each lag: ``S = sum n |a_g - a|^2`` over its groups, a being the mean of
    orthonormal scores, is ``(G - 1) V`` by chance, V being the scores' variance within the blocks, and a wander of
    variance w adds ``w (N - sum n_g^2 / N)``.

    Args:
        bins: of the column; its baseline weighs the scores.

    References:
        Searle, Casella and McCulloch 1992, "Variance components", section 3.6 (unequal groups); Rao and Scott 1981,
        "The analysis of categorical data from complex sample surveys" (the design effect).

    Example:
        Blocks that swing between two bins, ten times further than chance; each two together do not:

        >>> from pegel.schemas.grids import GridColumn
        >>> from pegel.schemas.partials import Tally
        >>> from pegel.streaming.statistics.cells import make_bins
        >>> tally = Tally(categories={"x": {"a": 1000, "b": 1000}})
        >>> learner = SpreadLearner(make_bins(GridColumn("x", "categorical", "output"), tally))
        >>> for counts in [[75, 25, 0, 0], [25, 75, 0, 0]] * 20:
        ...     learner.add(np.array(counts))
        >>> found = learner.dispersion()
        >>> [round(w, 4) for w in found.wander], found.known_by, found.autocorrelated
        ([0.2464, 0.0, 0.0], (39.0, 19.0, 9.0), False)
    """

    bins: Bins
    blocks: int = 0
    total: IntArray = field(init=False)
    _levels: list[_Level] = field(init=False, default_factory=list)
    _contrasts: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros(self.bins.size, dtype=np.int64)
        self._contrasts = contrasts(self.bins)

    def add(self, counts: IntArray) -> None:
        """Take in the next block's counts per bin, shape ``(k,)``; an empty one is passed over."""
        if not counts.sum():
            return
        self.blocks += 1
        self.total = self.total + counts
        group = counts
        for i in range(64):
            if i == len(self._levels):
                self._levels.append(_Level())
            level = self._levels[i]
            n = int(group.sum())
            level.groups += 1
            level.squares += float(np.sum((self._contrasts @ group) ** 2)) / n
            level.sizes += n * n
            if level.waiting is None:
                level.waiting = group
                return
            group, level.waiting = level.waiting + group, None

    def add_all(self, blocks: IntArray) -> None:
        """Take in the first blocks at once, shape ``(B, k)``.

        Raises:
            ContractError: if there were blocks before; take the others in by :meth:`add`.
        """
        if self.blocks:
            msg = "blocks can be taken in at once only before all others; take these in one by one"
            raise ContractError(msg)
        groups = blocks[blocks.sum(axis=1) > 0]
        self.blocks, self.total = len(groups), groups.sum(axis=0)
        while len(groups):
            n = groups.sum(axis=1)
            squares = float(np.sum(np.sum((groups @ self._contrasts.T) ** 2, axis=1) / n))
            odd = len(groups) % 2
            self._levels.append(_Level(len(groups), squares, int(np.sum(n * n)), groups[-1] if odd else None))
            groups = groups[0 : len(groups) - odd : 2] + groups[1::2]

    def dispersion(self) -> Dispersion:
        """What has been learned so far."""
        within = _within(self._contrasts, self.total)
        grouped = self.total
        between: list[float] = []
        wander: list[float] = []
        for level in self._levels:
            if level.groups < MIN_GROUPS:
                break
            n = int(grouped.sum())
            # Only whole groups are in the sums.
            squared = level.squares - float(np.sum((self._contrasts @ grouped) ** 2)) / n
            between.append(squared / (level.groups - 1))
            size = (n - level.sizes / n) / (level.groups - 1)
            wander.append(max(0.0, (between[-1] - within) / size))
            grouped = grouped if level.waiting is None else grouped - level.waiting
        groups = [level.groups for level in self._levels[: len(between)]]
        apart = _first_apart(between, groups, within, len(self._contrasts))
        used = min(len(between), len(LAGS))
        known_by = [float(groups[max(i, apart)] - 1) for i in range(used)]
        return Dispersion(self.blocks, tuple(wander[:used]), tuple(known_by), apart > 0, int(self.total.sum()))

    def state(self) -> dict[str, Any]:
        """All that it remembers, as JSON can hold it."""
        return {
            "blocks": self.blocks,
            "total": self.total.tolist(),
            "levels": [
                [one.groups, one.squares, one.sizes, None if one.waiting is None else one.waiting.tolist()]
                for one in self._levels
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.blocks = state["blocks"]
        self.total = np.array(state["total"], dtype=np.int64)
        self._levels = [
            _Level(groups, squares, sizes, None if waiting is None else np.array(waiting, dtype=np.int64))
            for groups, squares, sizes, waiting in state["levels"]
        ]


def measure_dispersion(bins: Bins, blocks: IntArray) -> Dispersion:
    """The dispersion of blocks in order of time, shape ``(B, k)``: as if they had been learned one by one."""
    learner = SpreadLearner(bins)
    learner.add_all(blocks)
    return learner.dispersion()


def _first_apart(between: list[float], groups: list[int], within: float, directions: int) -> int:
    # The first lag from which on neighbouring groups are not visibly alike. If r is their correlation, the mean square
    # between groups of twice the length is 1 + r times that between groups of this length; r rests on half as many
    # pairs.
    apart = 0
    for i in range(len(between) - 1):
        visible = _VISIBLE_STANDARD_ERRORS * sqrt(2 / (groups[i] * max(1, directions)))
        # Blocks more alike than chance makes them do not wander, however large the ratio of two such numbers is.
        if between[i + 1] - between[i] > visible * max(between[i], within):
            apart = i + 1
    return apart


def _within(scores: FloatArray, total: IntArray) -> float:
    # The variance of one event's scores, all directions together.
    shares = total / max(1, total.sum())
    return float(np.sum(scores**2 @ shares - (scores @ shares) ** 2))


def contrasts(bins: Bins) -> FloatArray:
    """Functions of the bin, orthonormal under the baseline, shape ``(J, k)``.

    T is about the sum of their squared standardised means. Numbers have four smooth ones; the rest tell apart what
    stands apart, or the categories.
    """
    shares = bins.baseline / max(1, bins.baseline.sum())
    rows: list[FloatArray] = []
    values = bins.ordered & (shares > 0)
    if values.any():
        inside = shares[values].sum()
        for score in legendre_scores(shares[values] / inside):
            row = np.zeros(bins.size)
            row[values] = score / np.sqrt(inside)
            rows.append(row)
    rare = ~values & (shares < _RARE)
    frequent = [np.arange(bins.size) == i for i in np.flatnonzero(~values & ~rare)]
    rows += _between([m for m in (values, *frequent, rare) if shares[m].sum() > 0], shares)
    return np.array(rows).reshape(len(rows), bins.size)


def _between(members: list[np.ndarray], shares: FloatArray) -> list[FloatArray]:
    # Helmert contrasts between groups of bins: each group against all before it.
    rows = []
    for i in range(1, len(members)):
        before = np.any(members[:i], axis=0)
        a, b = shares[before].sum(), shares[members[i]].sum()
        rows.append((np.where(members[i], a, 0.0) - np.where(before, b, 0.0)) / np.sqrt(a * b * (a + b)))
    return rows
