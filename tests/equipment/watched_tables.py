"""The tables of a stream of :mod:`equipment.watched_stream`, stored and watched as the stream job does it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from equipment.watched_stream import GRID, Batch, BatchPlan, Piece, batches_of, profile_row

from pegel.conf.settings import Settings
from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.partials import ANSWERED, CORRECT, ERRORS, LABELLED, tally_to_row
from pegel.schemas.tables import TABLES
from pegel.streaming.watch.history import History
from pegel.streaming.watch.watcher import WatchOutput
from pegel.tables.delta import DeltaTables


def register(tables: DeltaTables) -> None:
    """A young baseline of version 1, which knows its errors and how often it was right."""
    (learned,) = batches_of([BatchPlan((Piece(n=4000),))])
    now = learned.partials[0].last_enqueued
    columns = [asdict(column) for column in GRID.columns]
    tables.append("grids", [{"grid": GRID.grid, "model": GRID.model, "created_at": now, "columns": columns}])
    named = {"baseline_id": "b", "model": GRID.model, "version": "1", "grid": GRID.grid, "source": "test"}
    tally = learned.partials[0].tally
    tally.counts.update({ANSWERED: tally.n - tally.counts[ERRORS], LABELLED: 4000, CORRECT: 3680})
    tables.append("baselines", [named | {"created_at": now} | tally_to_row(tally)])


def _batch_row(batch: Batch) -> dict[str, Any]:
    counted = [column for column in TABLES["batches"].columns if column.type == "bigint"]
    offsets = [
        {"hub": hub, "partition": partition, "first": 0, "last": 9, "count": 10, "last_enqueued": time}
        for (hub, partition), time in batch.clock.items()
    ]
    return dict.fromkeys((c.name for c in counted), 0) | {
        "query_id": "q",
        "batch_id": batch.batch_id,
        "offsets": offsets,
        "committed_at": max(batch.clock.values()),
    }


def store_and_watch(
    settings: Settings, tables: DeltaTables, batches: Sequence[Batch], before: Mapping[int, Callable[[], object]]
) -> list[WatchOutput]:
    """A stream that stores each micro-batch as the stream job does.

    Args:
        settings: how it watches.
        tables: the tables, empty but for what was registered.
        batches: the micro-batches.
        before: position of a micro-batch -> what happens just before its watch; a new watcher takes over then.
    """
    watcher = build_watcher(settings, tables)
    outputs = []
    for i, batch in enumerate(batches):
        tables.append("profiles", [profile_row(p) for p in batch.partials])
        if i in before:
            before[i]()
            watcher = build_watcher(settings, tables)
            History(tables).restore(watcher, batch.batch_id)
        outputs.append(watcher.advance(batch.batch_id, batch.partials, batch.clock))
        tables.append("blocks", outputs[-1].block_rows)
        tables.append("metrics", outputs[-1].metric_rows)
        tables.append("batches", [_batch_row(batch)])
    return outputs
