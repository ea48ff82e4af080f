"""Micro-batches of a seeded stream through the real step, against the recomputation in plain Python."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest
from equipment.event_frames import ParsedEvents
from equipment.ingested_tables import STORED, differences
from equipment.recomputed_tables import GRID, SETTINGS, START, logged_events, write_baseline, write_grid

from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.partials import partial_from_row
from pegel.streaming.ingest.generation import generation_of
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.ingest.step import Ingest
from pegel.streaming.ingest.stored import stored_before
from pegel.streaming.verify.verification import Verification
from pegel.streaming.watch.watcher import partition_clock
from pegel.tables.delta import DeltaTables

pytestmark = pytest.mark.spark

FIRST, DIED, LAST = 3, 6, 9
LIVE = {0, FIRST, DIED, LAST}
"""Micro-batches that the live stream brings, of those before the new checkpoint."""
NEW = 10**9
"""The first micro-batch of the new checkpoint."""


def cut(events, *sizes):
    """Pieces of these sizes and one of the rest."""
    edges = [0]
    for size in sizes:
        edges.append(edges[-1] + size)
    return [events[a:b] for a, b in zip(edges, [*edges[1:], len(events)], strict=True)]


def from_file(events, name):
    """The same events as a backfill brings them: as lines of a file, written later."""
    lines, moved, written = Counter(), [], START + timedelta(hours=9)
    for event in events:
        place = {"hub": f"{event.hub}:backfill", "partition": name, "offset": lines[event.hub]}
        moved.append(replace(event, enqueued=written, **place))
        lines[event.hub] += 1
    return moved


class Stream:
    """A stream that much comes to, and what it said and left on its way."""

    def __init__(self, spark, folder, events):
        self._spark, self._events = spark, ParsedEvents(SETTINGS, spark, events)
        self.tables = DeltaTables(str(folder))
        create_tables(self.tables)
        write_grid(self.tables)
        write_baseline(self.tables)
        self.batches, self.stored, self.rows_after = {}, {}, {}
        self.generations = [generation_of(self.tables, "query-a")]
        self.start("query-a", 0)

    def start(self, query_id, generation):
        """A new process."""
        self._ingest = Ingest(self._spark, self.tables, SETTINGS, query_id, generation)

    def store(self, events, number):
        stored = self._ingest.store(self._events.of(events), number)
        self.batches[stored.batch_id] = events
        self.stored.setdefault(stored.batch_id, []).append(stored)
        return stored

    def commit(self, stored):
        written = self._ingest.commit(stored)
        self.rows_after[stored.batch_id] = {name: len(self.tables.read(name)) for name in ("predictions", "feedback")}
        return written

    def die_and_come_again(self, events, number):
        """A process dies when some of the tables are written, the next before the commit, the last one after it."""
        self._ingest.stream.append_rows = None
        with pytest.raises(TypeError):
            self.store(events, number)
        self.half = {
            name: self.tables.read(name, f"SELECT count(*) AS n FROM t WHERE batch_id = {number}")[0]["n"]
            for name in ("predictions", "profiles")
        }
        self.committed, self.contents = [], []
        for commits in (False, True, True):
            self.start("query-a", 0)
            stored = self.store(events, number)
            if commits:
                self.committed.append(self.commit(stored))
                self.contents.append(contents(self.tables))


def contents(tables):
    return {name: sorted(map(repr, tables.read(name))) for name in (*STORED, "batches")}


@pytest.fixture(scope="module")
def stream(spark, tmp_path_factory):
    """Only read: a micro-batch takes seconds, so all laws are about this one stream."""
    lone, first, second, third, later = cut(logged_events(17, 560), 1, 150, 100, 249)
    # A file of events that came, of some that will come, and of some that never do; and one that comes with its copies.
    file = from_file([*first[90:], *second[:30], *third[:40], *later[:10]], "a.jsonl")
    twin = from_file(second[:20], "b.jsonl")
    whole = [lone, first, second, third, later, file, twin]
    stream = Stream(spark, tmp_path_factory.mktemp("ingest") / "tables", [e for some in whole for e in some])
    stream.commit(stream.store(lone, 0))
    stream.commit(stream.store(first, FIRST))
    stream.commit(stream.store(file[:70], 4))
    stream.die_and_come_again([*second, *twin], DIED)
    stream.commit(stream.store(file[70:], 7))
    stream.commit(stream.store(third, LAST))
    stream.generations += [generation_of(stream.tables, name) for name in ("query-a", "query-b")]
    stream.start("query-b", 1)
    stream.commit(stream.store([*lone, *first], 0))
    stream.commit(stream.store(later, 1))
    stream.generations.append(generation_of(stream.tables, "query-c"))
    return stream


def test_every_table_equals_the_recomputation(stream):
    events = {event.place: event for batch in stream.batches.values() for event in batch}
    assert differences(stream.tables, events.values(), SETTINGS, {("assistant", "1"): GRID}) == []
    for batch_id, batch in stream.batches.items():
        assert all(stored.counts.conserved for stored in stream.stored[batch_id])
        assert stream.stored[batch_id][0].newest_enqueued == max(e.enqueued for e in batch)
    # The stream holds what this is about; otherwise it would show nothing.
    totals = Counter()
    for row in stream.tables.read("batches"):
        assert row["received"] == row["stored"] + row["dead_letters"] + row["duplicates"]
        totals.update({name: value for name, value in row.items() if isinstance(value, int)})
    assert min(totals[n] for n in ("duplicates", "feedback_duplicates", "dead_letters", "joined_later")) > 2
    segments = {row["segment"] for row in stream.tables.read("profiles")}
    assert segments == {"*", *(s for s in segments if s.startswith("country="))}
    assert len(segments) == 5
    assert "country=__other__" in segments
    report = Verification(stream.tables, SETTINGS, {}).run()
    # The new checkpoint goes on where it wants to, not where the old one ended, as no stream would.
    assert [(law.name, law.differences) for law in report.laws if law.broken and law.name != "offsets"] == []
    negative = [row for row in stream.tables.read("profiles") if row["counts"].get("correct", 0) < 0]
    assert negative


def test_old_events_meet_the_live_ones_in_the_same_tables_once_and_make_no_block(stream):
    for batch_id, batch in stream.batches.items():
        clock = partition_clock(stream.stored[batch_id][-1].offsets)
        assert clock.keys() == {(e.hub, e.partition) for e in batch if ":" not in e.hub}
    kinds = Counter(row["kind"] for row in stream.tables.read("profiles") if row["segment"] == "*")
    assert min(kinds[kind] for kind in ("live", "backfill", "feedback")) > 2
    rows = stream.tables.read("predictions")
    hubs = Counter(row["hub"] for row in rows)
    assert min(hubs["predictions"], hubs["predictions:backfill"]) > 2
    stored = Counter((row["event_id"], row["event_time"]) for row in rows)
    assert max(stored.values()) == 1 < len(rows)
    watcher = build_watcher(SETTINGS, stream.tables)
    with_blocks = set()
    for row in stream.tables.read("batches", f"SELECT * FROM t WHERE batch_id < {NEW} ORDER BY batch_id"):
        mine = f"SELECT * FROM t WHERE batch_id = {row['batch_id']}"
        output = watcher.advance(
            row["batch_id"],
            [partial_from_row(partial) for partial in stream.tables.read("profiles", mine)],
            partition_clock(row["offsets"]),
        )
        with_blocks |= {row["batch_id"]} if output.blocks else set()
    assert set() < with_blocks <= LIVE


def test_a_replayed_batch_adds_what_is_missing_and_nothing_twice(stream):
    assert stream.half["predictions"] > 0
    assert stream.half["profiles"] == 0
    completed, repeated, once_more = stream.stored[DIED]
    assert completed.replayed
    assert repeated.replayed
    assert once_more.replayed
    assert (repeated.counts, repeated.partials) == (completed.counts, completed.partials)
    assert stream.committed == [True, False]
    before, after = stream.contents
    assert before == after
    assert [stored.replayed for number in (0, FIRST, LAST, NEW) for stored in stream.stored[number]] == [False] * 4


def test_a_new_checkpoint_takes_the_next_generation_and_stores_nothing_again(stream):
    assert stream.generations == [0, 0, 1, 2]
    (again,) = stream.stored[NEW]
    assert (again.counts.stored, again.counts.feedback_stored) == (0, 0)
    assert again.counts.duplicates > 0
    assert stream.rows_after[NEW] == stream.rows_after[LAST]
    (later,) = stream.stored[NEW + 1]
    assert later.counts.stored > 0


def test_a_time_that_is_asked_for_exactly_does_not_fall_behind_the_statistics_of_a_file(stream):
    # Delta cuts those to milliseconds.
    columns = ("event_id", "event_time")
    keys = [[row[name] for name in columns] for row in stream.tables.read("predictions")]
    finer = [key for key in keys if key[1].microsecond % 1000]
    assert len(finer) > 40
    for key in finer[:40]:
        wanted = {name: pa.chunked_array([[value]]) for name, value in zip(columns, key, strict=True)}
        found = stored_before(stream.tables, "predictions", 10**12, columns, wanted)
        assert key in [list(row.values()) for row in found.to_pylist()]
