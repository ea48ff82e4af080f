"""The tables that ingest would have written, from the recomputation in plain Python and without Spark."""

import random
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from equipment.judged_events import LoggedEvent
from equipment.recompute import Recomputation
from equipment.seeded_events import FEEDBACK, seeded_events

from pegel.conf.settings import Settings
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn, make_grid
from pegel.schemas.tables import STREAM_TABLES
from pegel.streaming.ingest.batch import BatchCounts
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SETTINGS = Settings.model_validate(
    {
        "ingest": {
            "segment_attributes": ("country", "tier"),
            "segment_cap": 3,
            "max_category_names": 3,
            # Some of the micro-batches are written by the driver and some by Spark.
            "collect_events": 100,
        }
    }
)
GRID = make_grid(
    "assistant",
    [
        GridColumn("length", NUMERIC, "input_length", center=60.0, scale=35.5),
        GridColumn("words", NUMERIC, "input_words", center=10.0, scale=7.25),
        GridColumn("confidence", NUMERIC, "confidence", center=0.5, scale=0.3),
        GridColumn("amount", NUMERIC, "features.amount", center=100.0, scale=40.1),
        GridColumn('age\'s \\ "name"', NUMERIC, "features.age", center=-3.7, scale=1e-3),
        GridColumn("latency_ms", NUMERIC, "latency_ms", drift=False, center=148.0, scale=200.0),
        GridColumn("tokens", NUMERIC, "output_tokens", center=200.0, scale=100.0),
        GridColumn("channel", CATEGORICAL, "features.channel"),
        GridColumn("output", CATEGORICAL, "output", categories=("transfer", "card", "größe")),
        GridColumn("any output", CATEGORICAL, "output"),
    ],
)


def logged_events(seed: int, count: int) -> list[LoggedEvent]:
    """Seeded events as they lie in their hubs, in the order in which they came."""
    rng, ends, events = random.Random(seed), Counter[tuple[str, str]](), []
    for i, event in enumerate(seeded_events(seed, START, count)):
        hub = "feedback" if event.hub == FEEDBACK else "predictions"
        partition = str(rng.randrange(2))
        enqueued = START + timedelta(milliseconds=40 * i)
        events.append(LoggedEvent(hub, partition, ends[hub, partition], enqueued, event.body))
        ends[hub, partition] += 1
    return events


def write_grid(tables: DeltaTables) -> None:
    """Register the grid."""
    columns = [
        {name: getattr(column, name) for name in GridColumn.__slots__} | {"categories": list(column.categories)}
        for column in GRID.columns
    ]
    tables.append("grids", [{"grid": GRID.grid, "model": GRID.model, "created_at": START, "columns": columns}])


def write_baseline(tables: DeltaTables) -> None:
    """Register a baseline without counts, by which version 1 is counted on the grid."""
    empty: dict[str, dict[str, str]] = {"counts": {}, "numeric": {}, "categorical": {}}
    named = {"baseline_id": "b1", "model": GRID.model, "version": "1", "grid": GRID.grid, "created_at": START}
    tables.append("baselines", [{**named, "source": "a test", **empty}])


def write_recomputed(tables: DeltaTables, seed: int, count: int, batch_size: int, grid_since: int = 0) -> None:
    """Write what micro-batches of so many seeded events leave behind.

    Args:
        tables: where; they need not be there.
        seed: decides the events.
        count: how many events.
        batch_size: how many of them a micro-batch has.
        grid_since: the micro-batch before which the grid of version 1 is registered; those before count it on the
            default grid.
    """
    for name in STREAM_TABLES:
        tables.create(name)
    write_grid(tables)
    events = logged_events(seed, count)
    recomputation = Recomputation(events, SETTINGS)
    for batch_id, first in enumerate(range(0, count, batch_size)):
        if batch_id == grid_since:
            recomputation.register("assistant", "1", GRID)
        _write(tables, recomputation, batch_id, events[first : first + batch_size])


def _write(tables: DeltaTables, recomputation: Recomputation, batch_id: int, events: list[LoggedEvent]) -> None:
    places: dict[tuple[str, str], list[int]] = {}
    for event in events:
        places.setdefault((event.hub, event.partition), []).append(event.offset)
    offsets = [
        {"hub": hub, "partition": partition, "first": min(found), "last": max(found)}
        for (hub, partition), found in places.items()
    ]
    expected = recomputation.batch(batch_id, offsets)
    for name in ("predictions", "feedback", "dead_letters", "profiles"):
        rows = getattr(expected, name)
        if name == "dead_letters":
            rows = [row | {"detail": "said in words"} for row in rows]
        tables.append(name, rows)
    names = list(asdict(BatchCounts()))
    marks = {"query_id": "query-a", "batch_id": batch_id, "generation": 0, "offsets": expected.offsets}
    tables.append("batches", [marks | {name: expected.counts[name] for name in names}])
