"""Simulated arrival blocks of seven columns, drawn on the bins of a simulated baseline, with and without drift.

Five columns are numbers with different laws, two are categories. Without drift blocks are independent, or their means
and shares wander about, as a stationary autoregression or with the day. Shifts are in standard deviations of the law.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import gammainc, ndtr

from pegel.schemas import grids
from pegel.schemas.grids import GridColumn, cell_edges
from pegel.schemas.partials import Tally
from pegel.streaming.statistics.alarm import ColumnTest, p_values
from pegel.streaming.statistics.cells import Bins, make_bins
from pegel.streaming.statistics.dispersion import Dispersion, measure_dispersion

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SIGMA = 0.5
_LOG_MEAN = np.exp(_SIGMA**2 / 2)
_LOG_SD = _LOG_MEAN * np.sqrt(np.exp(_SIGMA**2) - 1)

# Standardised laws: mean 0, standard deviation 1.
LAWS: dict[str, Callable[[Floats], Floats]] = {
    "amount": ndtr,
    "latency": lambda x: ndtr(np.log(np.maximum(x * _LOG_SD + _LOG_MEAN, 1e-300)) / _SIGMA),
    "waiting": lambda x: gammainc(1.0, np.maximum(x + 1, 0)),
    "share": lambda x: np.clip(x / np.sqrt(12) + 0.5, 0, 1),
    # Whole numbers, twelve a standard deviation.
    "age": lambda x: ndtr((np.floor(x * 12) + 0.5) / 12),
}
SHARES: dict[str, Floats] = {
    "channel": np.array([0.35, 0.25, 0.2, 0.1, 0.07, 0.03]),
    "tenant": 1 / np.arange(1, 21) / np.sum(1 / np.arange(1, 21)),
}
COLUMNS = (*LAWS, *SHARES)
WANDER_SD = 0.03


def steady(rng: np.random.Generator, blocks: int) -> Floats:
    """No wander: independent blocks."""
    del rng
    return np.zeros(blocks)


def autoregressive(*coefficients: float, sd: float = WANDER_SD) -> Callable[[np.random.Generator, int], Floats]:
    """A stationary Gaussian autoregression of the block means, with this standard deviation."""
    ahead = np.zeros(4096)
    ahead[0] = 1.0
    response = lfilter([1.0], [1.0, *(-c for c in coefficients)], ahead)
    scale = sd / np.sqrt(np.sum(response**2))

    def wander(rng: np.random.Generator, blocks: int) -> Floats:
        noise = rng.normal(0, scale, blocks + ahead.size)
        found: Floats = lfilter([1.0], [1.0, *(-c for c in coefficients)], noise)[ahead.size :]
        return found

    return wander


def daily(period: int, amplitude: float = 0.25) -> Callable[[np.random.Generator, int], Floats]:
    """A sine of so many blocks a day; a column's day begins anywhere."""

    def wander(rng: np.random.Generator, blocks: int) -> Floats:
        return amplitude * np.sin(2 * np.pi * (np.arange(blocks) / period + rng.random()))

    return wander


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        n: events in a block.
        m: events in the baseline; 0: the blocks from which the dispersion is learned are the baseline.
        learned: from so many blocks without drift the dispersion is learned.
        wander: of the block means.
    """

    n: int
    m: int
    learned: int = 1000
    wander: Callable[[np.random.Generator, int], Floats] = steady


class SimulatedColumn:
    """One column: its baseline, the test that the baseline and the quiet blocks make, and blocks to judge.

    Args:
        rng: where randomness comes from.
        name: one of :data:`COLUMNS`.
        case: what to simulate.
        blocks: so many follow the learned ones in time.
        shift: of the blocks from the position ``since`` on, in standard deviations; for categories the points of share
            that the second gives to the first.
        since: see above.
    """

    def __init__(
        self, rng: np.random.Generator, name: str, case: Case, blocks: int, *, shift: float = 0.0, since: int = 0
    ) -> None:
        self._name = name
        self._bins = _first_bins(rng, name, case.m or case.learned * case.n)
        wander = case.wander(rng, case.learned + blocks)
        drift = np.zeros(case.learned + blocks)
        drift[case.learned + since :] = shift
        drawn = rng.multinomial(case.n, self._shares(wander, drift))
        quiet, self.blocks = drawn[: case.learned], drawn[case.learned :]
        if not case.m:
            self._bins = replace(self._bins, baseline=quiet.sum(axis=0))
        self.dispersion: Dispersion = measure_dispersion(self._bins, quiet)
        self.test = ColumnTest(self._bins, self.dispersion)

    def rings(self, alpha: float) -> list[int]:
        """The blocks that ring; after a ring the lags start again."""
        ringing = self._ringing(alpha)
        found: list[int] = []
        start = 0
        for at in np.flatnonzero(ringing > 0):
            lags = ringing[at]
            # The shortest lag that rings decides whether the pool lies behind the last ring.
            if at - lags + 1 >= start:
                found.append(int(at))
                start = int(at) + 1
        return found

    def _ringing(self, alpha: float) -> Ints:
        # For each block the shortest lag at which it rings; 0 if it does not.
        sums = np.concatenate([np.zeros((1, self.blocks.shape[1]), dtype=np.int64), np.cumsum(self.blocks, axis=0)])
        ends, lags = zip(*((np.arange(lag, len(sums)), lag) for lag in self.test.lags), strict=True)
        end, lag = np.concatenate(ends), np.repeat(lags, [len(e) for e in ends])
        pools = self.test.compare(sums[end] - sums[end - lag], lag, alpha)
        shortest = np.full(len(self.blocks), np.iinfo(np.int64).max)
        if pools is not None and len(pools.lags) == len(end):
            rang = p_values(pools.statistic, pools.law, alpha) < alpha
            np.minimum.at(shortest, end[rang] - 1, lag[rang])
        elif pools is not None:
            msg = "a pool has too few events to be judged; simulate larger blocks"
            raise ValueError(msg)
        return np.where(shortest == np.iinfo(np.int64).max, 0, shortest)

    def _shares(self, wander: Floats, drift: Floats) -> Floats:
        if self._name in LAWS:
            return _shares_of_bins(self._name, self._bins, wander + drift)
        first, second = SHARES[self._name][:2]
        points = wander / np.sqrt(1 / first + 1 / second) + drift
        shares = np.tile(SHARES[self._name], (len(points), 1))
        shares[:, 0] += points
        shares[:, 1] -= points
        order = [self._bins.labels.index(f"name {i}") for i in range(shares.shape[1])]
        found = np.zeros((len(points), self._bins.size))
        found[:, order] = shares
        return found


def _first_bins(rng: np.random.Generator, name: str, m: int) -> Bins:
    if name in LAWS:
        column = GridColumn(name, grids.NUMERIC, f"features.{name}", center=0.0, scale=1.35)
        # Below the grid, its cells, above it.
        shares = np.diff(np.concatenate([[0.0], LAWS[name](_edges()), [1.0]]))
        counts = rng.multinomial(m, shares / shares.sum())
        codes = [grids.BELOW, *range(grids.CELLS), grids.ABOVE]
        cells = Counter({code: int(count) for code, count in zip(codes, counts, strict=True) if count})
        return make_bins(column, Tally(cells={name: cells}))
    counts = rng.multinomial(m, SHARES[name])
    names = Counter({f"name {i}": int(count) for i, count in enumerate(counts)})
    return make_bins(GridColumn(name, grids.CATEGORICAL, name), Tally(categories={name: names}))


def _shares_of_bins(name: str, bins: Bins, shifts: Floats) -> Floats:
    # A vector of ones says how many values each bin holds; they follow each other, missing and non-finite come last.
    ones = np.ones(grids.CELLS + 4, dtype=np.int64)
    uppers = np.cumsum(bins.count_dense(ones)[:-2])[:-1] - 1
    edges = _edges()[uppers]
    distinct, which = np.unique(shifts, return_inverse=True)
    below = LAWS[name](edges[None, :] - distinct[:, None])
    ends = np.zeros((len(distinct), 1)), np.ones((len(distinct), 1))
    shares = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
    found: Floats = np.pad(shares, ((0, 0), (0, 2)))[which]
    return found


@cache
def _edges() -> Floats:
    return np.array(cell_edges(0.0, 1.35))


def streams(seed: int, case: Case, blocks: int, count: int) -> Iterator[list[SimulatedColumn]]:
    """So many streams of all columns, each with a baseline of its own."""
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        yield [SimulatedColumn(rng, name, case, blocks) for name in COLUMNS]
