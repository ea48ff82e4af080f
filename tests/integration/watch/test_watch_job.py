"""``pegel watch`` finds in stored partials what the watch said while the stream ran."""

from pathlib import Path
from typing import Any

import pytest
from equipment.watched_stream import BatchPlan, Piece, batches_of
from equipment.watched_tables import register, store_and_watch

from pegel.conf.settings import Settings
from pegel.jobs import watch
from pegel.schemas.partials import FEEDBACK_KIND
from pegel.schemas.tables import TABLES
from pegel.tables.delta import DeltaTables

SMALL = {"watch": {"block_min_events": 60, "window_seconds": [10, 60]}}


def _plans() -> list[BatchPlan]:
    plans = []
    for i in range(60):
        drifted = Piece(n=35, shift=80 if i >= 40 else 0, failed=9 if i >= 45 else 0)
        pieces = [drifted, Piece(segment="tenant=a", n=9), Piece("3", n=20)]
        if i % 5 == 4:
            pieces += [Piece(kind=FEEDBACK_KIND, late_s=20, n=100, wrong=8 if i < 30 else 60), Piece(late_s=1200, n=3)]
        plans.append(BatchPlan(tuple(pieces), seconds=3 if i != 30 else 1500, ids=10**9 if i == 20 else 1))
    return plans


def _rows(tables: DeltaTables, name: str) -> list[dict[str, Any]]:
    key = TABLES[name].key
    return sorted(tables.read(name), key=lambda row: tuple(row[k] for k in key))


def test_watch_job_rebuilds_what_the_live_watch_said(tmp_path: Path) -> None:
    root, out = tmp_path / "stream", tmp_path / "again"
    settings = Settings.model_validate({"storage": {"root": str(root)}} | SMALL)
    tables, recomputed = DeltaTables(str(root)), DeltaTables(str(out))
    register(tables)
    outputs = store_and_watch(settings, tables, batches_of(_plans()), {25: lambda: None})
    blocks = [row for output in outputs for row in output.block_rows]
    assert any(verdict["rang"] for row in blocks for verdict in row["verdicts"])
    assert any(rate["rang"] and rate["since"] is not None for row in blocks for rate in row["rates"])

    overrides = ["--set", f"storage.root={root}", "--set", "watch.block_min_events=60"]
    overrides += ["--set", "watch.window_seconds=[10,60]"]
    assert watch.main([*overrides, "--out", str(out), "--available-now"]) == 0
    assert _rows(recomputed, "blocks") == _rows(tables, "blocks")
    metrics = [row for output in outputs for row in output.metric_rows]
    assert len(_rows(tables, "metrics")) == len(metrics) > 0
    assert any(row["judged"]["rang"] for row in metrics if "judged" in row)
    assert _rows(recomputed, "metrics") == _rows(tables, "metrics")

    # A second time would write everything twice, and the stream's own tables have a writer.
    for place in (out, root, root / ".." / "stream"):
        with pytest.raises(SystemExit) as refused:
            watch.main([*overrides, "--out", str(place), "--available-now"])
        assert refused.value.code == 2
