"""The stream's decisions about its own pipeline, through real tables and with many restarts."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from equipment.watched_stream import Batch, BatchPlan, Piece, batches_of, profile_row
from equipment.watched_tables import register

from pegel.conf.settings import Settings
from pegel.jobs.wiring.decisions import Decisions
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch, events_in
from pegel.tables.delta import DeltaTables

POLICY = {
    "alerts_per_month": 1,
    "uncalibrated_may_retrain": True,
    "resolve_after_blocks": 3,
    "rules": [
        {"name": "drift", "kind": "drift", "severity": 2, "action": "retrain", "runbook": "drift.md"},
        {"name": "no-data", "kind": "no_data", "for_seconds": 30, "severity": 1, "action": "page", "runbook": "a.md"},
        {
            "name": "dead", "kind": "dead_letters", "for_seconds": 9, "limit": 0.05, "severity": 1, "action": "page",
            "runbook": "a.md",
        },
    ],
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "policy.yml").write_text(yaml.safe_dump(POLICY), encoding="utf-8")
    watch = {"block_min_events": 60, "window_seconds": [10, 60], "policy": str(tmp_path / "policy.yml")}
    return Settings.model_validate({"storage": {"root": str(tmp_path / "stream")}, "watch": watch})


def _ingested(batch: Batch, dead: int) -> IngestedBatch:
    newest = max(batch.clock.values())
    stored = events_in(batch.partials)
    offsets = [
        {"hub": hub, "partition": partition, "first": 0, "last": 9, "count": 10, "last_enqueued": time}
        for (hub, partition), time in batch.clock.items()
    ]
    counts = BatchCounts(received=stored + dead, stored=stored, dead_letters=dead, in_partials=stored)
    return IngestedBatch(
        "q", batch.batch_id, offsets, (), batch.partials, counts, newest, newest, newest, newest, replayed=False
    )


def _mark(batch: IngestedBatch) -> dict[str, Any]:
    return {"query_id": "q", "batch_id": batch.batch_id, "generation": 0, "offsets": batch.offsets} | asdict(
        batch.counts
    )


def _without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "decided_time"} for row in rows]


def test_stream_that_restarts_again_and_again_decides_the_same_of_a_sick_pipeline(settings: Settings) -> None:
    tables = DeltaTables(settings.storage.root)
    register(tables)
    plans = [
        BatchPlan((Piece(n=35, shift=80 if i >= 16 else 0),), partitions=("0",) if 12 <= i < 26 else ("0", "1"))
        for i in range(36)
    ]
    whole = Decisions(tables, settings)
    for i, batch in enumerate(batches_of(plans)):
        ingested = _ingested(batch, dead=20 if 14 <= i < 17 else 0)
        tables.append("profiles", [profile_row(p) for p in batch.partials])
        decided = whole.decide(ingested)
        if i % 4 == 2 or decided.alerts:
            again = Decisions(tables, settings).decide(ingested)
            assert _without_clock(again.alerts) == _without_clock(decided.alerts)
        tables.append("blocks", decided.blocks)
        tables.append("alerts", decided.alerts)
        tables.append("batches", [_mark(ingested)])
    rows = sorted(tables.read("alerts"), key=lambda row: (row["batch_id"], row["sequence"]))
    told = [(row["rule"], row["state"], row["inhibited_by"] is not None) for row in rows]
    # Refused events from 14 on, drift from 16 on, a silent partition from 12 to 25: what drifts meanwhile is held back,
    # and told once the pipeline is well.
    assert told.count(("dead", "resolved", False)) == 1
    assert told.count(("no-data", "resolved", False)) == 1
    drift = [(state, held) for rule, state, held in told if rule == "drift"]
    assert drift[:2] == [("opened", True), ("retracted", True)]
    assert ("confirmed", True) not in drift
    assert drift[-1] in {("opened", False), ("confirmed", False)}
