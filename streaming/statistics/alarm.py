"""The alarm rule: whether a column of arrival blocks has moved away from its baseline. Pure.

Per column, the last 1, 2, 4, ..., 64 blocks are pooled by addition and each pool is compared with the baseline. With a
level of ``1 / (A * C * lags)`` for each comparison, C columns sharing the budget, independent blocks ring at most once
in A blocks on average; under any dependence between columns, lags and blocks the chance of a false ring within t
blocks is at most t / A, provided each comparison's own null law holds. The finite baseline is in the variance.

The rule, its constants and its measured run lengths and delays: ``docs/statistics.md``.

References:
    Neyman 1937 (smooth test); Rao and Scott 1981 (over-dispersion); Lai 1995, "Sequential changepoint detection in
    quality control and dynamical systems" (window-limited rules).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from scipy.stats import ncx2

from pegel.schemas import grids
from pegel.schemas.verdicts import ColumnVerdict
from pegel.streaming.statistics.cells import Bins, FloatArray, IntArray
from pegel.streaming.statistics.dispersion import LAGS, WIDE_DEAD_BAND, Dispersion
from pegel.streaming.statistics.scores import NAMES, legendre_scores
from pegel.streaming.statistics.share_test import MIN_EXPECTED, share_test

MIN_EVENTS = 50
"""Neither a pool nor a baseline with fewer events is judged: the chi-squared law does not hold there."""

YOUNG_SLACK = 0.02
"""Without a record of how blocks differ, categories may move by this total variation without ringing."""

LONGEST_LAG = LAGS[-1]


def level(average_run_length: float, columns: int) -> float:
    """The level of one comparison: ``1 / (A * C * lags)``.

    Args:
        average_run_length: A, in blocks of one stream; above 0.
        columns: C, how many columns (of all segments) share the budget.

    Example:
        >>> level(10_000, 5) == 1 / 350_000
        True
    """
    return 1.0 / (average_run_length * max(1, columns) * len(LAGS))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnTest:
    """The test of one column against one baseline.

    Attributes:
        bins: the column's bins with the baseline's counts.
        dispersion: how the baseline's blocks differ; None while that is unknown. Then the test is uncalibrated, and
            rings only for what is significant against the null hypotheses 'a shift of at most 0.05 standard
            deviations' and 'a total variation between categories of at most 0.02'.
    """

    bins: Bins
    dispersion: Dispersion | None = None

    def judge(self, blocks: IntArray, alpha: float) -> ColumnVerdict | None:
        """Judge the newest block together with those before it.

        Args:
            blocks: counts per bin of the last blocks, the newest last, shape ``(b, k)`` with b at most 64; not more
                than since the last ring, which starts the lags again.
            alpha: level of one comparison, see :func:`level`.

        Returns:
            the verdict at the lag where the statistic is the largest multiple of its bound (the shortest such lag);
            None if no lag has :data:`MIN_EVENTS` events, or the baseline has not, or it has nothing to compare.
        """
        lags, pools = self._pools(blocks)
        if not lags:
            return None
        found = _statistic(self.bins, pools, self._slack, alpha)
        known = np.flatnonzero(found.df > 0)
        if not known.size:
            return None
        phi, noncentrality = self._null(lags, found.variance)
        thresholds = np.ones(len(lags))
        thresholds[known] = _bounds(alpha, found.df[known], noncentrality[known] / phi[known]) * phi[known]
        best = int(known[np.argmax(found.statistic[known] / thresholds[known])])
        statistic, threshold = float(found.statistic[best]), float(thresholds[best])
        tail = ncx2.sf(statistic / phi[best], found.df[best], noncentrality[best] / phi[best])
        pool = pools[best : best + 1]
        plain = _statistic(self.bins, pool, 0.0, alpha) if self._slack > 0 else found.row(best)
        return ColumnVerdict(
            column=self.bins.column,
            rang=statistic > threshold,
            calibrated=self.dispersion is not None and self.dispersion.calibrated,
            lag=lags[best],
            n=int(found.n[best]),
            statistic=statistic,
            threshold=threshold,
            p_value=float(np.clip(tail, 0.0, 1.0)),
            effect=plain.effect,
            direction=_direction(self.bins, pool[0], plain),
        )

    @property
    def _slack(self) -> float:
        return YOUNG_SLACK if self.dispersion is None else 0.0

    def _pools(self, blocks: IntArray) -> tuple[list[int], IntArray]:
        if int(self.bins.baseline.sum()) < MIN_EVENTS or not len(blocks):
            return [], blocks
        backwards = np.cumsum(blocks[::-1], axis=0)
        allowed = LAGS if self.dispersion is None else LAGS[: len(self.dispersion.phi)]
        lags = [lag for lag in allowed if lag <= len(blocks) and backwards[lag - 1].sum() >= MIN_EVENTS]
        return lags, backwards[[lag - 1 for lag in lags]]

    def _null(self, lags: list[int], variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        # Over-dispersion and noncentrality of the null law at each lag.
        if self.dispersion is not None:
            phi = np.array([self.dispersion.phi[LAGS.index(lag)] for lag in lags])
            return phi, self.dispersion.dead_band_squared / variance
        # The slack has moved the categories' null hypothesis already.
        dead_band = WIDE_DEAD_BAND if self.bins.kind == grids.NUMERIC else 0.0
        return np.ones(len(lags)), dead_band**2 / variance


@dataclass(frozen=True, slots=True, eq=False)
class _Statistic:
    # One entry per pool: T, its degrees of freedom, events, 1/n + 1/m; the standardised scores have the shape (r, J).
    statistic: FloatArray
    df: IntArray
    n: IntArray
    variance: FloatArray
    scores: FloatArray

    def row(self, i: int) -> "_Statistic":
        one = slice(i, i + 1)
        return _Statistic(self.statistic[one], self.df[one], self.n[one], self.variance[one], self.scores[one])

    @property
    def effect(self) -> float:
        # Of the first pool. T overestimates the squared shift by df * variance, which is what chance alone adds.
        return sqrt(max(0.0, float((self.statistic[0] - self.df[0]) * self.variance[0])))


def _statistic(bins: Bins, pools: IntArray, slack: float, alpha: float) -> _Statistic:
    n = pools.sum(axis=1)
    variance = 1 / n + 1 / bins.baseline.sum()
    if bins.kind != grids.NUMERIC:
        test = share_test(pools, bins.baseline, slack, alpha)
        return _Statistic(test.statistic, test.df, n, variance, np.zeros((len(pools), 0)))
    # Given how many values are ordinary numbers, their shape is independent of how many are not.
    scores, df = _shape(bins, pools)
    statistic = np.sum(scores**2, axis=1)
    ordinary, apart = bins.ordered, ~bins.ordered
    if pools[:, apart].any() or bins.baseline[apart].any():
        samples = np.column_stack([pools[:, ordinary].sum(axis=1), pools[:, apart]])
        baseline = np.concatenate([[bins.baseline[ordinary].sum()], bins.baseline[apart]])
        test = share_test(samples, baseline, slack, alpha)
        statistic, df = statistic + test.statistic, df + test.df
    return _Statistic(statistic, df, n, variance, scores)


def _shape(bins: Bins, pools: IntArray) -> tuple[FloatArray, IntArray]:
    counts, baseline = pools[:, bins.ordered], bins.baseline[bins.ordered]
    n, m = counts.sum(axis=1), int(baseline.sum())
    # Measured at 20 bins: with 50 events the law's tail at 1e-6 is seven times too light, with 200 about twice.
    usable = n >= max(MIN_EVENTS, MIN_EXPECTED * baseline.size)
    if m < MIN_EVENTS or not usable.any():
        return np.zeros((len(pools), 0)), np.zeros(len(pools), dtype=np.int64)
    shares = baseline / m
    phi = _scores_of(shares.tobytes())
    n = np.maximum(n, 1)
    z = (counts / n[:, None] - shares) @ phi.T / np.sqrt(1 / n + 1 / m)[:, None]
    return np.where(usable[:, None], z, 0.0), np.where(usable, len(phi), 0)


@lru_cache(maxsize=4096)
def _scores_of(shares: bytes) -> FloatArray:
    return legendre_scores(np.frombuffer(shares, dtype=np.float64))


def _bounds(alpha: float, df: IntArray, noncentrality: FloatArray) -> FloatArray:
    bounds: FloatArray = ncx2.isf(alpha, df, noncentrality)
    return bounds


def _direction(bins: Bins, pool: IntArray, found: _Statistic) -> str:
    moved = np.abs(pool / pool.sum() - bins.baseline / bins.baseline.sum())
    if bins.kind != grids.NUMERIC:
        return bins.labels[int(np.argmax(moved))]
    squares = found.scores[0] ** 2
    apart = float(found.statistic[0]) - float(squares.sum())
    if not squares.size or apart > float(squares.max()):
        return bins.labels[int(np.argmax(np.where(bins.ordered, -1.0, moved)))]
    return NAMES[int(np.argmax(squares))]
