"""Micro-batches of a seeded stream through the real step, against the recomputation in plain Python."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from equipment.ingested_tables import STORED, differences
from equipment.judged_events import LoggedEvent
from equipment.seeded_events import FEEDBACK, seeded_events

from pegel.conf.settings import Settings
from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn, make_grid
from pegel.schemas.partials import partial_from_row
from pegel.streaming.ingest.generation import generation_of
from pegel.streaming.ingest.parse import Parser
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.ingest.step import Ingest
from pegel.streaming.ingest.stored import stored_before
from pegel.streaming.watch.watcher import partition_clock
from pegel.tables.delta import DeltaTables

pytestmark = pytest.mark.spark

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SETTINGS = Settings.model_validate(
    {"ingest": {"segment_attributes": ("country", "tier"), "segment_cap": 3, "max_category_names": 3}}
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
GRIDS = {("assistant", "1"): GRID}
SOURCE = "hub string, partition string, offset bigint, enqueued_time timestamp, body binary"


@pytest.fixture
def tables(tmp_path):
    tables = DeltaTables(str(tmp_path / "tables"))
    create_tables(tables)
    columns = [
        {name: getattr(column, name) for name in GridColumn.__slots__} | {"categories": list(column.categories)}
        for column in GRID.columns
    ]
    tables.append("grids", [{"grid": GRID.grid, "model": GRID.model, "created_at": START, "columns": columns}])
    empty = {"counts": {}, "numeric": {}, "categorical": {}}
    baseline = {"baseline_id": "b1", "version": "1", "created_at": START, "source": "a test", **empty}
    tables.append("baselines", [{**baseline, "model": GRID.model, "grid": GRID.grid}])
    return tables


def logged(seed, count):
    """Seeded events as they lie in their hubs, in the order in which they came."""
    rng, ends, events = random.Random(seed), Counter(), []
    for i, event in enumerate(seeded_events(seed, START, count)):
        hub = "feedback" if event.hub == FEEDBACK else "predictions"
        partition = str(rng.randrange(2))
        enqueued = START + timedelta(milliseconds=40 * i)
        events.append(LoggedEvent(hub, partition, ends[hub, partition], enqueued, event.body))
        ends[hub, partition] += 1
    return events


def cut(events, *sizes):
    """Micro-batches of these sizes and one of the rest."""
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    return [events[a:b] for a, b in zip(edges, [*edges[1:], len(events)], strict=True)]


@pytest.fixture
def frame(spark):
    parser = Parser(SETTINGS)

    def make(events):
        rows = [(e.hub, e.partition, e.offset, e.enqueued, bytearray(e.body)) for e in events]
        random.Random(5).shuffle(rows)
        return parser.parse(spark.createDataFrame(rows, SOURCE).repartition(2))

    return make


@pytest.fixture
def new_ingest(spark, tables):
    def make(query_id="query-a", generation=0):
        return Ingest(spark, tables, SETTINGS, query_id, generation)

    return make


def contents(tables):
    return {name: sorted(map(repr, tables.read(name))) for name in (*STORED, "batches")}


def test_every_table_equals_the_recomputation(tables, frame, new_ingest):
    events = logged(17, 500)
    ingest = new_ingest()
    conserved = []
    for i, batch in enumerate(cut(events, 1, 150, 60)):
        stored = ingest.store(frame(batch), 3 * i)
        assert ingest.commit(stored)
        conserved.append(stored.counts.conserved)
        assert stored.newest_enqueued == max(e.enqueued for e in batch)
    assert conserved == [True] * 4
    assert differences(tables, events, SETTINGS, GRIDS) == []
    # The stream holds what this is about; otherwise it would show nothing.
    totals = Counter()
    for row in tables.read("batches"):
        assert row["received"] == row["stored"] + row["dead_letters"] + row["duplicates"]
        totals.update({name: value for name, value in row.items() if isinstance(value, int)})
    assert min(totals[n] for n in ("duplicates", "feedback_duplicates", "dead_letters", "joined_later")) > 2
    segments = {row["segment"] for row in tables.read("profiles")}
    assert segments == {"*", *(s for s in segments if s.startswith("country="))}
    assert len(segments) == 5
    assert "country=__other__" in segments
    negative = [row for row in tables.read("profiles") if row["counts"].get("correct", 0) < 0]
    assert negative


def from_file(events, name):
    """The same events as a backfill brings them: as lines of a file, written later."""
    lines, moved, written = Counter(), [], START + timedelta(hours=9)
    for event in events:
        place = {"hub": f"{event.hub}:backfill", "partition": name, "offset": lines[event.hub]}
        moved.append(replace(event, enqueued=written, **place))
        lines[event.hub] += 1
    return moved


def test_old_events_meet_the_live_ones_in_the_same_tables_once_and_make_no_block(tables, frame, new_ingest):
    events = logged(21, 240)
    first, second, third = cut(events, 80, 80)
    # A file of events that came, of some that will come, and of some that never do; and one that comes with its copies.
    file = from_file([*first[40:], *second[:30], *third[:40]], "a.jsonl")
    twin = from_file(second[:20], "b.jsonl")
    batches = [first, file[:70], [*second, *twin], file[70:]]
    ingest = new_ingest()
    for i, batch in enumerate(batches):
        stored = ingest.store(frame(batch), i)
        assert stored.counts.conserved
        assert partition_clock(stored.offsets).keys() == {(e.hub, e.partition) for e in batch if ":" not in e.hub}
        ingest.commit(stored)
    assert differences(tables, [e for batch in batches for e in batch], SETTINGS, GRIDS) == []
    kinds = Counter(row["kind"] for row in tables.read("profiles") if row["segment"] == "*")
    assert min(kinds[kind] for kind in ("live", "backfill", "feedback")) > 2
    ids = [row["event_id"] for row in tables.read("predictions")]
    assert any(row["hub"] == "predictions:backfill" for row in tables.read("predictions"))
    stored_ids = Counter((row["event_id"], row["event_time"]) for row in tables.read("predictions"))
    assert max(stored_ids.values()) == 1 < len(ids)
    watcher = build_watcher(SETTINGS, tables)
    for row in tables.read("batches", "SELECT * FROM t ORDER BY batch_id"):
        mine = f"SELECT * FROM t WHERE batch_id = {row['batch_id']}"
        output = watcher.advance(
            row["batch_id"],
            [partial_from_row(partial) for partial in tables.read("profiles", mine)],
            partition_clock(row["offsets"]),
        )
        assert output.blocks == [] or row["batch_id"] in {0, 2}


def test_a_replayed_batch_adds_what_is_missing_and_nothing_twice(tables, frame, new_ingest):
    events = logged(12, 330)
    first, second, third = cut(events, 150, 150)
    ingest = new_ingest()
    ingest.commit(ingest.store(frame(first), 0))

    # The process dies when some of the second micro-batch's tables are written.
    ingest.stream.append_rows = None
    with pytest.raises(TypeError):
        ingest.store(frame(second), 1)
    assert tables.read("predictions", "SELECT count(*) AS n FROM t WHERE batch_id = 1")[0]["n"] > 0
    assert tables.read("profiles", "SELECT count(*) AS n FROM t WHERE batch_id = 1")[0]["n"] == 0

    restarted = new_ingest()
    stored = restarted.store(frame(second), 1)
    assert stored.replayed
    # It dies again, this time when everything but the commit mark is written.
    again = new_ingest()
    repeated = again.store(frame(second), 1)
    assert repeated.replayed
    assert (repeated.counts, repeated.partials) == (stored.counts, stored.partials)
    assert again.commit(repeated)
    before = contents(tables)
    once_more = new_ingest()
    assert not once_more.commit(once_more.store(frame(second), 1))
    assert contents(tables) == before

    stored = once_more.store(frame(third), 2)
    assert not stored.replayed
    once_more.commit(stored)
    assert differences(tables, events, SETTINGS, GRIDS) == []


def test_a_new_checkpoint_takes_the_next_generation_and_stores_nothing_again(tables, frame, new_ingest):
    assert generation_of(tables, "query-a") == 0
    events = logged(13, 120)
    ingest = new_ingest()
    ingest.commit(ingest.store(frame(events[:100]), 0))
    before = {name: len(tables.read(name)) for name in ("predictions", "feedback")}
    assert generation_of(tables, "query-a") == 0
    assert generation_of(tables, "query-b") == 1

    other = new_ingest("query-b", 1)
    stored = other.store(frame(events[:100]), 0)
    assert stored.batch_id == 10**9
    assert (stored.counts.stored, stored.counts.feedback_stored) == (0, 0)
    assert stored.counts.conserved
    other.commit(stored)
    assert {name: len(tables.read(name)) for name in before} == before
    other.commit(other.store(frame(events[100:]), 1))
    assert differences(tables, events, SETTINGS, GRIDS) == []
    # Delta's statistics of a file are cut to milliseconds: a time that is asked for exactly must not fall behind them.
    columns = ("event_id", "event_time")
    keys = [[row[name] for name in columns] for row in tables.read("predictions")]
    assert any(time.microsecond % 1000 for _, time in keys)
    for key in keys:
        wanted = {name: pa.chunked_array([[value]]) for name, value in zip(columns, key, strict=True)}
        assert key in [
            list(row.values()) for row in stored_before(tables, "predictions", 10**12, columns, wanted).to_pylist()
        ]
    assert generation_of(tables, "query-c") == 2
