"""From closed blocks and final windows to verdicts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np

from pegel.schemas.metric_names import ACCURACY
from pegel.schemas.partials import EVENTS, Tally
from pegel.schemas.verdicts import AccuracyVerdict, BlockVerdict, ColumnVerdict, RateVerdict
from pegel.streaming.statistics.alarm import ColumnTest, Pools, decide, level
from pegel.streaming.statistics.dispersion import LAGS
from pegel.streaming.watch.accuracy import completeness
from pegel.streaming.watch.blocks import Block, BlockStream, windows_of
from pegel.streaming.watch.learning import Learning
from pegel.streaming.watch.rates import RateRun
from pegel.streaming.watch.reference import Comparison

MONTH_SECONDS = 30 * 86_400


def run_length(alerts_per_month: float, shortest_block_seconds: float) -> float:
    """How many blocks a key may have, on average, for each false alarm: the most a month can hold over the budget.

    Args:
        alerts_per_month: the budget, above 0.
        shortest_block_seconds: no block is shorter, as no micro-batch is; above 0.

    Example:
        >>> run_length(1.0, 3.0)
        864000.0
    """
    return MONTH_SECONDS / shortest_block_seconds / alerts_per_month


@dataclass(frozen=True, slots=True)
class Closed:
    """A block that has just closed, and what it is judged by.

    Attributes:
        stream: the blocks of its key, ``block`` the last of them.
        comparison: None while the version has no baseline: then there is no verdict.
        alpha: level of one comparison.
    """

    stream: BlockStream
    block: Block
    comparison: Comparison | None
    alpha: float


def judge_blocks(closed: Sequence[Closed]) -> list[BlockVerdict]:
    """Judge blocks together with those before them, and start the lags of the columns that rang again.

    Args:
        closed: the blocks that closed in a micro-batch, at most one a key; their streams' ``restart`` is changed, and
            they learn from the blocks.

    Returns:
        in the same order, each with a verdict for every column and rate that can be judged. The windows, the onset and
        the first pooled micro-batch are those of the loudest column that rang; of the block alone if none did. A rate
        has its own.
    """
    owners: list[int] = []
    tests: list[tuple[ColumnTest, Pools, float]] = []
    for i, one in enumerate(closed):
        if one.comparison is None:
            continue
        for name in one.comparison.watched:
            test = test_of(name, one.comparison, one.stream.learning)
            pools = test.pool(np.array([block.bins[name] for block in one.stream.pooled(name)]), one.alpha)
            if pools is not None:
                owners.append(i)
                tests.append((test, pools, one.alpha))
    columns: list[list[ColumnVerdict]] = [[] for _ in closed]
    for i, verdict in zip(owners, decide(tests), strict=True):
        columns[i].append(verdict)
    for one, found in zip(closed, columns, strict=True):
        if one.stream.learning is not None:
            one.stream.learning.add(one.block.bins, one.block.last_enqueued, found)
    return [_block_verdict(one, found) for one, found in zip(closed, columns, strict=True)]


def judge_rates(one: Closed) -> tuple[RateVerdict, ...]:
    """Take the block into the detectors of its rates, and start those that rang again.

    Args:
        one: the block; its stream's ``rates`` are changed.
    """
    found = []
    for name, test in one.comparison.rates.items() if one.comparison else ():
        if name not in one.block.rates:
            continue
        run = one.stream.rates.get(name, RateRun())
        blocks = one.stream.since_ring(name)
        sums = test.detector.add(run.sums, *one.block.rates[name])
        verdict = test.judge(sums, np.array([block.rates[name] for block in blocks]), rate_run_length(one.alpha))
        pooled = blocks[-verdict.lag :]
        verdict = replace(verdict, pooled_first_batch_id=pooled[0].first_batch_id)
        if verdict.rang:
            windows = windows_of(pooled)
            verdict = replace(verdict, windows=windows, since=windows[0][0])
            run = RateRun(start=one.block.block_no + 1)
        else:
            run = RateRun(sums, run.start)
        one.stream.rates[name] = run
        found.append(verdict)
    return tuple(found)


def test_of(column: str, comparison: Comparison, learning: Learning | None) -> ColumnTest:
    """What judges a column: with what its key has learned, or else as the baseline says."""
    return comparison.columns[column].test if learning is None else learning.test(column)


def _block_verdict(one: Closed, columns: Sequence[ColumnVerdict]) -> BlockVerdict:
    block = one.block
    rang = [verdict for verdict in columns if verdict.rang]
    pooled = [block]
    since: datetime | None = None
    if rang:
        loudest = max(rang, key=lambda verdict: verdict.statistic / verdict.threshold)
        pooled = one.stream.pooled(loudest.column)[-loudest.lag :]
        since = windows_of(pooled)[0][0]
        one.stream.restart.update((verdict.column, block.block_no + 1) for verdict in rang)
    return BlockVerdict(
        *block.key,
        block.block_no,
        block.first_batch_id,
        block.last_batch_id,
        block.n,
        block.last_enqueued,
        block.baseline_id,
        tuple(columns),
        windows_of(pooled),
        since,
        pooled[0].first_batch_id,
        judge_rates(one),
    )


def judge_sum(
    tally: Tally, columns: Sequence[str], comparison: Comparison, learning: Learning | None, alpha: float
) -> tuple[ColumnVerdict, ...]:
    """Judge the sum of some windows by the same rule, as a pool of about as many events, at the same level.

    Args:
        tally: the sum, on the baseline's grid.
        columns: which columns to judge; names that are not watched are passed over.
        comparison: the version's.
        learning: the key's.
        alpha: level of one comparison.
    """
    found = [
        test_of(name, comparison, learning).judge_sum(comparison.columns[name].bins.count(tally), alpha)
        for name in comparison.watched
        if name in columns
    ]
    return tuple(verdict for verdict in found if verdict is not None)


def judge_rate_sums(
    counts: Mapping[str, int], tally: Tally, names: Sequence[str], comparison: Comparison
) -> tuple[RateVerdict, ...]:
    """Judge the rates of final windows by their p-values.

    Args:
        counts: their counters, of all grids.
        tally: their sum, on the baseline's grid.
        names: which rates to judge; those that cannot be are passed over.
        comparison: the version's.
    """
    found: list[RateVerdict] = []
    for name, counted in comparison.rates_in(counts, tally).items():
        if name in names:
            verdict = comparison.rates[name].judge_sum(*counted)
            found.append(_of_labels(verdict, counts.get(EVENTS, 0)) if name == ACCURACY else verdict)
    return tuple(found)


def _of_labels(verdict: RateVerdict, events: int) -> AccuracyVerdict:
    return AccuracyVerdict(**asdict(verdict), label_completeness=completeness(verdict.n, events))


def alpha_of(comparison: Comparison, average_run_length: float, segments: int) -> float:
    """The level of one comparison, when the columns and rates of so many segments share a version's budget.

    Accuracy is one comparison more, of all traffic: see :class:`~pegel.streaming.watch.labelled.LabelledWindows`.
    """
    accuracy = ACCURACY in comparison.rates
    of_each = len(comparison.watched) + len(comparison.rates) - accuracy
    return level(average_run_length, of_each * max(1, segments) + accuracy)


def rate_run_length(alpha: float) -> float:
    """The run length of one rate: ``2 A C``, if the lags of a column have the level ``1 / (2 A C lags)`` each.

    A detector with it reaches its threshold within t blocks with a chance of at most ``t / (2 A C)``, as a column does.

    Example:
        >>> round(rate_run_length(level(10_000, 5)))
        100000
    """
    return 1 / (alpha * len(LAGS))
