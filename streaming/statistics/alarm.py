"""The alarm rule: whether a column of arrival blocks has moved away from its baseline. Pure.

Per column, the last 1, 2, 4, ..., 64 blocks are pooled by addition and each pool is compared with the baseline. With a
level of ``1 / (2 A C lags)`` for each comparison, C columns sharing the budget, the chance of a false ring within t
blocks is at most ``t / (2 A)`` by the union bound, so that A blocks pass on average before one, whatever the dependence
between columns, lags and blocks: provided that each comparison's own null law holds. The finite baseline, the wander
of blocks without drift and a dead band are in that law (:mod:`.null_law`).

References:
    Neyman 1937 (smooth test); Rao and Scott 1981 (over-dispersion); Lai 1995, "Sequential changepoint detection in
    quality control and dynamical systems" (window-limited rules).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf, sqrt

import numpy as np
import numpy.typing as npt

from pegel.schemas import grids
from pegel.schemas.verdicts import ColumnVerdict
from pegel.streaming.statistics.cells import Bins, FloatArray, IntArray
from pegel.streaming.statistics.dispersion import LAGS, WIDE_DEAD_BAND, Dispersion
from pegel.streaming.statistics.null_law import NullLaw, joined
from pegel.streaming.statistics.scores import NAMES, legendre_scores
from pegel.streaming.statistics.share_test import MIN_EXPECTED, share_test

MIN_EVENTS = 50
"""Neither a pool nor a baseline with fewer events is judged: the chi-squared law does not hold there."""

DEAD_BAND = 0.02
"""A shift of so many baseline standard deviations is not looked for. Convention: its index (PSI) is 0.0004."""

YOUNG_SLACK = 0.02
"""Without a record of how blocks differ, categories may move by this total variation without ringing."""

LONGEST_LAG = LAGS[-1]


def level(average_run_length: float, columns: int) -> float:
    """The level of one comparison: ``1 / (2 A C lags)``.

    Args:
        average_run_length: A, in blocks of one stream; above 0.
        columns: C, how many columns (of all segments) share the budget.

    Example:
        >>> level(10_000, 5) == 1 / 700_000
        True
    """
    return 1.0 / (2 * average_run_length * max(1, columns) * len(LAGS))


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """What pooled blocks of one column say, before any bound is asked.

    Attributes:
        lags: how many blocks each pool holds; shape ``(r,)`` as all that follow.
        n: events in each pool.
        statistic: T.
        variance: ``1/n + 1/m``.
        law: what T does without drift.
        counts: the pools, shape ``(r, k)``.
        scores: standardised location, scale, skew and tails, shape ``(r, J)``; no columns for a categorical column.
    """

    lags: IntArray
    n: IntArray
    statistic: FloatArray
    variance: FloatArray
    law: NullLaw
    counts: IntArray
    scores: FloatArray


class ColumnTest:
    """The test of one column against one baseline.

    Args:
        bins: the column's bins with the baseline's counts.
        dispersion: how blocks without drift differ; None while that is unknown. Then, and while too few blocks are
            known, the test is uncalibrated, and rings only for what is significant against the null hypotheses 'a shift
            of at most 0.05 standard deviations' and 'a total variation between categories of at most 0.02'.
    """

    def __init__(self, bins: Bins, dispersion: Dispersion | None = None) -> None:
        self.bins = bins
        self.dispersion = dispersion if dispersion is not None and dispersion.calibrated else None
        self._m = int(bins.baseline.sum())
        self._ordered = bins.baseline[bins.ordered]
        self._m_ordered = int(self._ordered.sum())
        self._shares = self._ordered / max(1, self._m_ordered)
        usable = self._m_ordered >= MIN_EVENTS
        self._phi = legendre_scores(self._shares) if usable else np.zeros((0, self._ordered.size))
        # For numbers: how many are ordinary, then the bins apart. For categories: all bins.
        self._apart = bins.baseline[~bins.ordered]
        if bins.kind == grids.NUMERIC:
            self._apart = np.concatenate([[self._m_ordered], self._apart])

    @property
    def calibrated(self) -> bool:
        """Whether the bound keeps the false-alarm budget."""
        return self.dispersion is not None

    def pool(self, blocks: IntArray, alpha: float) -> Pools | None:
        """Pool the newest block with those before it and compare each pool with the baseline.

        Args:
            blocks: counts per bin of the last blocks, the newest last, shape ``(b, k)`` with b at most 64; not more
                than since the last ring, which starts the lags again.
            alpha: level of one comparison, see :func:`level`.

        Returns:
            None if no lag has :data:`MIN_EVENTS` events, or the baseline has not, or it has nothing to compare.
        """
        if self._m < MIN_EVENTS or not len(blocks):
            return None
        backwards = np.cumsum(blocks[::-1], axis=0)
        lags = np.array([lag for lag in self.lags if lag <= len(blocks)], dtype=np.int64)
        return self.compare(backwards[lags - 1], lags, alpha)

    @property
    def lags(self) -> tuple[int, ...]:
        """The lags that may be pooled."""
        return LAGS if self.dispersion is None else LAGS[: len(self.dispersion.wander)]

    def compare(self, counts: IntArray, lags: IntArray, alpha: float) -> Pools | None:
        """Compare pools with the baseline.

        Args:
            counts: per bin, shape ``(r, k)``.
            lags: how many blocks each of them holds, from :attr:`lags`, shape ``(r,)``.
            alpha: level of one comparison.

        Returns:
            those that can be judged; None if there is none.
        """
        n = counts.sum(axis=1)
        enough = n >= MIN_EVENTS
        if self._m < MIN_EVENTS or not enough.any():
            return None
        counts, lags, n = counts[enough], lags[enough], n[enough]
        statistic, df, scores = self._statistic(counts, YOUNG_SLACK if self.dispersion is None else 0.0, alpha)
        variance = 1 / n + 1 / self._m
        wander, known_by, dead_band = self._null(lags)
        law = NullLaw(df, wander / variance, known_by, dead_band / np.sqrt(variance))
        found = Pools(lags, n, statistic, variance, law, counts, scores)
        known = df > 0
        return found if known.all() else _rows(found, known) if known.any() else None

    def judge(self, blocks: IntArray, alpha: float) -> ColumnVerdict | None:
        """Pool and decide; see :meth:`pool` and :func:`decide`."""
        pools = self.pool(blocks, alpha)
        return None if pools is None else decide([(self, pools, alpha)])[0]

    def judge_sum(self, counts: IntArray, alpha: float) -> ColumnVerdict | None:
        """Judge one sum of counts, shape ``(k,)``, by the lag whose groups had about as many events."""
        lag = 1 if self.dispersion is None else self.dispersion.lag_of(int(counts.sum()))
        pools = self.compare(counts[None, :], np.array([lag]), alpha)
        return None if pools is None else decide([(self, pools, alpha)])[0]

    def verdict(self, pools: Pools, best: int, threshold: float, p_value: float, alpha: float) -> ColumnVerdict:
        """Say what the pool ``best`` means."""
        pool = pools.counts[best : best + 1]
        statistic, df, scores = self._statistic(pool, 0.0, alpha)
        # T overestimates the squared shift by df * variance, which is what chance alone adds.
        squared = float((statistic[0] - df[0]) * pools.variance[best])
        return ColumnVerdict(
            column=self.bins.column,
            rang=p_value < alpha,
            calibrated=self.calibrated,
            lag=int(pools.lags[best]),
            n=int(pools.n[best]),
            statistic=float(pools.statistic[best]),
            threshold=threshold,
            p_value=p_value,
            effect=sqrt(max(0.0, squared)),
            direction=self._direction(pool[0], float(statistic[0]), scores[0] ** 2),
        )

    def _null(self, lags: IntArray) -> tuple[FloatArray, FloatArray, float]:
        # The wander at each lag, what it is known by, and the shift that the null hypothesis allows.
        if self.dispersion is None:
            # The slack has moved the categories' null hypothesis already.
            dead_band = WIDE_DEAD_BAND if self.bins.kind == grids.NUMERIC else 0.0
            return np.zeros(len(lags)), np.full(len(lags), inf), dead_band
        which = np.searchsorted(LAGS, lags)
        return np.array(self.dispersion.wander)[which], np.array(self.dispersion.known_by)[which], DEAD_BAND

    def _statistic(self, pools: IntArray, slack: float, alpha: float) -> tuple[FloatArray, IntArray, FloatArray]:
        # T, its degrees of freedom and the scores of each pool.
        if self.bins.kind != grids.NUMERIC:
            test = share_test(pools, self._apart, slack, alpha)
            return test.statistic, test.df, np.zeros((len(pools), 0))
        # Given how many values are ordinary numbers, their shape is independent of how many are not.
        ordinary = pools[:, self.bins.ordered]
        scores, df = self._shape(ordinary)
        statistic = np.sum(scores**2, axis=1)
        apart = pools[:, ~self.bins.ordered]
        if apart.any() or self._m_ordered < self._m:
            test = share_test(np.column_stack([ordinary.sum(axis=1), apart]), self._apart, slack, alpha)
            statistic, df = statistic + test.statistic, df + test.df
        return statistic, df, scores

    def _shape(self, counts: IntArray) -> tuple[FloatArray, IntArray]:
        n = counts.sum(axis=1)
        # Measured at 20 bins: with 50 events the law's tail at 1e-6 is seven times too light, with 200 about twice.
        usable = n >= max(MIN_EVENTS, MIN_EXPECTED * self._ordered.size)
        n = np.maximum(n, 1)
        means = (counts / n[:, None] - self._shares) @ self._phi.T
        z = means / np.sqrt(1 / n + 1 / max(1, self._m_ordered))[:, None]
        return np.where(usable[:, None], z, 0.0), np.where(usable, len(self._phi), 0)

    def _direction(self, pool: IntArray, statistic: float, squares: FloatArray) -> str:
        moved = np.abs(pool / pool.sum() - self.bins.baseline / self._m)
        if self.bins.kind != grids.NUMERIC:
            return self.bins.labels[int(np.argmax(moved))]
        if not squares.size or statistic - float(squares.sum()) > float(squares.max()):
            return self.bins.labels[int(np.argmax(np.where(self.bins.ordered, -1.0, moved)))]
        return NAMES[int(np.argmax(squares))]


def p_values(statistic: FloatArray, law: NullLaw, alpha: float | FloatArray) -> FloatArray:
    """The chance of each statistic without drift that matters, shape ``(r,)``.

    Where it is seen at once that it is ``alpha`` or more, a number between alpha and it stands for it.
    """
    found = law.least_tail(statistic)
    worth = found < alpha
    if worth.any():
        found[worth] = law[worth].tail(statistic[worth])
    return found


def decide(tests: Sequence[tuple[ColumnTest, Pools, float]]) -> list[ColumnVerdict]:
    """Judge the pools of many columns; all at once, as asking the law is slow.

    A column rings if the chance of its statistic is below alpha at any lag.

    Args:
        tests: each column's test, its pools and the level of one comparison.

    Returns:
        for each column the verdict at the lag with the least chance (the shortest such lag).
    """
    if not tests:
        return []
    sizes = [len(pools.lags) for _, pools, _ in tests]
    statistic = np.concatenate([pools.statistic for _, pools, _ in tests])
    law = joined([pools.law for _, pools, _ in tests])
    alphas = np.repeat([alpha for _, _, alpha in tests], sizes)
    chances = p_values(statistic, law, alphas)
    starts = np.cumsum([0, *sizes[:-1]])
    best = np.array([at + np.argmin(chances[at : at + size]) for at, size in zip(starts, sizes, strict=True)])
    exact = law[best].tail(statistic[best])
    thresholds = law[best].bound(alphas[best])
    return [
        test.verdict(pools, int(at - start), float(threshold), float(p_value), alpha)
        for (test, pools, alpha), start, at, threshold, p_value in zip(
            tests, starts, best, thresholds, exact, strict=True
        )
    ]


def _rows(pools: Pools, which: npt.NDArray[np.bool_]) -> Pools:
    return Pools(*(getattr(pools, f.name)[which] for f in fields(pools)))
