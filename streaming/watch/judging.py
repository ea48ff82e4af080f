"""From closed blocks and final windows to verdicts. Pure."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from pegel.schemas.partials import Tally
from pegel.schemas.verdicts import BlockVerdict, ColumnVerdict
from pegel.streaming.statistics.alarm import level
from pegel.streaming.watch.blocks import Block, BlockStream, windows_of
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


def judge_block(
    stream: BlockStream, block: Block, comparison: Comparison | None, average_run_length: float, segments: int
) -> BlockVerdict:
    """Judge the newest block of a stream together with those before it, and start the lags of what rang again.

    Args:
        stream: the blocks of one key, ``block`` the last of them; its ``restart`` is changed.
        block: the newest.
        comparison: None while the version has no baseline: then there is no verdict.
        average_run_length: see :func:`run_length`.
        segments: how many segments share the budget.

    Returns:
        a verdict for each column that can be judged. The windows, the onset and the first pooled micro-batch are those
        of the loudest column that rang; of the block alone if none did.
    """
    columns: list[ColumnVerdict] = []
    if comparison is not None:
        alpha = level(average_run_length, len(comparison.watched) * segments)
        for name in comparison.watched:
            blocks = np.array([pooled.bins[name] for pooled in stream.pooled(name)])
            verdict = comparison.columns[name].test.judge(blocks, alpha)
            if verdict is not None:
                columns.append(verdict)
    rang = [v for v in columns if v.rang]
    pooled = [block]
    since: datetime | None = None
    if rang:
        loudest = max(rang, key=lambda v: v.statistic / v.threshold)
        pooled = stream.pooled(loudest.column)[-loudest.lag :]
        since = windows_of(pooled)[0][0]
        stream.restart.update((v.column, block.block_no + 1) for v in rang)
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
    )


def judge_sum(
    tally: Tally, columns: Sequence[str], comparison: Comparison, average_run_length: float, segments: int
) -> tuple[ColumnVerdict, ...]:
    """Judge the sum of some windows by the same rule at lag 1, at the same level.

    Args:
        tally: the sum, on the baseline's grid.
        columns: which columns to judge; names that are not watched are passed over.
        comparison: the version's.
        average_run_length: see :func:`run_length`.
        segments: how many segments share the budget.
    """
    alpha = level(average_run_length, len(comparison.watched) * segments)
    wanted = [name for name in comparison.watched if name in set(columns)]
    found = [
        comparison.columns[name].test.judge(comparison.columns[name].bins.count(tally)[None, :], alpha)
        for name in wanted
    ]
    return tuple(verdict for verdict in found if verdict is not None)
