"""``pegel watch`` finds in stored partials what the watch said while the stream ran."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from equipment.watched_stream import GRID, Batch, BatchPlan, Piece, batches_of, profile_row

from pegel.conf.settings import Settings
from pegel.jobs import watch
from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.partials import FEEDBACK_KIND, tally_to_row
from pegel.schemas.tables import TABLES
from pegel.streaming.watch.history import History
from pegel.streaming.watch.watcher import WatchOutput
from pegel.tables.delta import DeltaTables

SMALL = {"watch": {"block_min_events": 60, "window_seconds": [10, 60]}}


def _plans() -> list[BatchPlan]:
    plans = []
    for i in range(60):
        pieces = [Piece(n=35, shift=80 if i >= 40 else 0), Piece(segment="tenant=a", n=9), Piece("3", n=20)]
        if i % 5 == 4:
            pieces += [Piece(kind=FEEDBACK_KIND, late_s=20, n=6, wrong=1), Piece(late_s=1200, n=3)]
        plans.append(BatchPlan(tuple(pieces), seconds=3 if i != 30 else 1500, ids=10**9 if i == 20 else 1))
    return plans


def _register(tables: DeltaTables) -> None:
    """A young baseline of version 1."""
    (learned,) = batches_of([BatchPlan((Piece(n=4000),))])
    now = learned.partials[0].last_enqueued
    columns = [asdict(column) for column in GRID.columns]
    tables.append("grids", [{"grid": GRID.grid, "model": GRID.model, "created_at": now, "columns": columns}])
    named = {"baseline_id": "b", "model": GRID.model, "version": "1", "grid": GRID.grid, "source": "test"}
    tables.append("baselines", [named | {"created_at": now} | tally_to_row(learned.partials[0].tally)])


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
    }


def _live(settings: Settings, tables: DeltaTables, batches: list[Batch], restart_at: int) -> list[WatchOutput]:
    """A stream that stores each micro-batch as the stream job does; a new watcher takes over at ``restart_at``."""
    watcher = build_watcher(settings, tables)
    outputs = []
    for i, batch in enumerate(batches):
        tables.append("profiles", [profile_row(p) for p in batch.partials])
        if i == restart_at:
            watcher = build_watcher(settings, tables)
            History(tables).restore(watcher, batch.batch_id)
        outputs.append(watcher.advance(batch.batch_id, batch.partials, batch.clock))
        tables.append("blocks", outputs[-1].block_rows)
        tables.append("batches", [_batch_row(batch)])
    return outputs


def _rows(tables: DeltaTables, name: str) -> list[dict[str, Any]]:
    key = TABLES[name].key
    return sorted(tables.read(name), key=lambda row: tuple(row[k] for k in key))


def test_watch_job_rebuilds_what_the_live_watch_said(tmp_path: Path) -> None:
    root, out = tmp_path / "stream", tmp_path / "again"
    settings = Settings.model_validate({"storage": {"root": str(root)}} | SMALL)
    tables, recomputed = DeltaTables(str(root)), DeltaTables(str(out))
    _register(tables)
    outputs = _live(settings, tables, batches_of(_plans()), restart_at=25)
    blocks = [row for output in outputs for row in output.block_rows]
    assert any(verdict["rang"] for row in blocks for verdict in row["verdicts"])

    overrides = ["--set", f"storage.root={root}", "--set", "watch.block_min_events=60"]
    overrides += ["--set", "watch.window_seconds=[10,60]"]
    assert watch.main([*overrides, "--out", str(out), "--available-now"]) == 0
    assert _rows(recomputed, "blocks") == _rows(tables, "blocks")
    metrics = [row for output in outputs for row in output.metric_rows]
    expected_tables = DeltaTables(str(tmp_path / "live"))
    expected_tables.append("metrics", metrics)
    assert metrics
    assert _rows(recomputed, "metrics") == _rows(expected_tables, "metrics")

    # A second time would write everything twice, and the stream's own tables have a writer.
    for place in (out, root, root / ".." / "stream"):
        with pytest.raises(SystemExit) as refused:
            watch.main([*overrides, "--out", str(place), "--available-now"])
        assert refused.value.code == 2
