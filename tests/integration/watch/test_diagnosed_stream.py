"""The decisions of a stream on real tables: what is stored is what an incident is diagnosed from."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pegel.conf.loading import load_settings
from pegel.jobs.wiring.decisions import Decisions
from pegel.lifecycle.baseline import make_baseline, store
from pegel.schemas.grids import NUMERIC, Grid, GridColumn
from pegel.schemas.partials import ALL, LIVE, Partial, partial_to_row
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
from pegel.streaming.statistics.counting import count, learn_grid
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SPECS = (GridColumn("x", NUMERIC, "features.x"), GridColumn("sure", NUMERIC, "confidence"))
PER_BATCH, BATCHES, ONSET = 120, 36, 24


def drawn(rng: np.random.Generator, n: int) -> dict[str, list[Any]]:
    return {"x": rng.normal(0, 1, n).tolist(), "sure": rng.beta(9, 1, n).tolist()}


def broken(values: dict[str, list[Any]]) -> None:
    values["x"] = [None if i % 4 == 0 else x for i, x in enumerate(values["x"])]


def moved(values: dict[str, list[Any]]) -> None:
    values["x"] = [x / 2 + 1 for x in values["x"]]


def new(values: dict[str, list[Any]]) -> None:
    values["x"] = [x + 1 for x in values["x"]]
    values["sure"] = [0.2 if i % 3 == 0 else s for i, s in enumerate(values["sure"])]


def run(tables: DeltaTables, grid: Grid, change: Any, restart_at: int) -> list[dict[str, Any]]:
    """Decide each micro-batch after it was stored, with new decisions from one on; gives the rows of ``alerts``."""
    settings = load_settings("demo.yml", environ={})
    rng, decisions, alerts = np.random.default_rng(3), Decisions(tables, settings), []
    for i in range(BATCHES):
        now = START + timedelta(seconds=3 * i)
        values = drawn(rng, PER_BATCH)
        if i >= ONSET:
            change(values)
        window = now - timedelta(seconds=now.second % 10)
        tally = count(values, grid)
        place = ("assistant", "1", ALL, window, 10, grid.grid, i, LIVE, now - timedelta(seconds=2), now)
        partial = Partial(*place, tally)
        counts = BatchCounts(received=PER_BATCH, stored=PER_BATCH, in_partials=PER_BATCH)
        offset = {"hub": "predictions", "partition": "0", "first": i, "last": i, "count": PER_BATCH}
        offsets = [{**offset, "last_enqueued": now}]
        batch = IngestedBatch("q", i, offsets, (), [partial], counts, now, now, now, now, replayed=False)
        tables.append("profiles", [partial_to_row(partial)])
        if i == restart_at:
            decisions = Decisions(tables, settings)
        decided = decisions.decide(batch)
        tables.append("blocks", decided.blocks)
        tables.append("alerts", decided.alerts)
        row = {name: getattr(counts, name) for name in BatchCounts.__slots__}
        tables.append("batches", [{"query_id": "q", "batch_id": i, "generation": 0, "offsets": offsets, **row}])
        alerts += decided.alerts
    return alerts


@pytest.mark.parametrize(
    ("change", "cause", "action"),
    [
        (broken, "pipeline_fault", "page"),
        (moved, "harmless_shift", "none"),
        (new, "harmful_shift", "retrain"),
    ],
)
def test_a_drift_is_diagnosed_from_the_tables_and_a_restart_changes_nothing(
    tmp_path: Path, change: Any, cause: str, action: str
) -> None:
    rng = np.random.default_rng(1)
    values = drawn(rng, 3000)
    grid = learn_grid("assistant", SPECS, values)
    right = (rng.random(3000) < values["sure"]).tolist()
    baseline = make_baseline("assistant", "1", grid, values, right, failed=[False] * 3000)
    found = []
    # Of each cause once, and of one with a restart between the ring and its confirmation.
    for restart_at in (-1, ONSET + 3) if change is new else (-1,):
        tables = DeltaTables(str(tmp_path / str(restart_at)))
        store(tables, baseline, source="test", now=START)
        found.append(run(tables, grid, change, restart_at))
    (opened, confirmed, *_), again = found[0], found[-1]
    assert (opened["state"], confirmed["state"]) == ("opened", "confirmed")
    assert (confirmed["cause"], confirmed["action"]) == (cause, action)
    assert len(confirmed["findings"]) > 0
    assert [{**row, "decided_time": 0} for row in again] == [{**row, "decided_time": 0} for row in found[0]]


def test_refused_events_before_a_drift_are_its_cause(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = drawn(rng, 3000)
    grid = learn_grid("assistant", SPECS, values)
    tables = DeltaTables(str(tmp_path))
    store(tables, make_baseline("assistant", "1", grid, values, failed=[False] * 3000), source="test", now=START)
    dead = {"hub": "predictions", "partition": "0", "enqueued_time": START, "reason": "not_json", "sha256": "s"}
    dead_letters = [{**dead, "offset": 100 * i + j, "batch_id": i} for i in range(ONSET, BATCHES) for j in range(30)]
    tables.append("dead_letters", dead_letters)
    rows = run(tables, grid, moved, -1)
    assert [row["cause"] for row in rows if row["state"] == "confirmed"] == ["pipeline_fault"]
    assert Counter(f["kind"] for row in rows for f in row["findings"] or ()) == {"dead_letters": 1}
