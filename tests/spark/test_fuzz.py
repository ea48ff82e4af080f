"""Events that something happened to, through the real parser and the real step: none is lost, none is misread."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from equipment.event_frames import parsed
from equipment.judged_events import LoggedEvent, judge
from equipment.mutated_events import KINDS, mutated_events

from pegel.conf.settings import Settings
from pegel.streaming.ingest.parse import Parser
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.ingest.step import Ingest
from pegel.tables.delta import DeltaTables

pytestmark = pytest.mark.spark

ENQUEUED = datetime(2026, 11, 25, 3, tzinfo=UTC)


def logged(events):
    """Each in its place; its offset is its number."""
    return [LoggedEvent("predictions", str(n % 2), n, ENQUEUED, event.body) for n, event in enumerate(events)]


def misread(events, reasons):
    """Events whose reason is none that what happened to them allows, or not that of the reference. At most ten."""
    wrong = []
    for n, (event, place) in enumerate(zip(events, logged(events), strict=True)):
        reference = judge(place, is_feedback=False, future_tolerance_seconds=300).reason
        if reasons[n] not in event.reasons or reasons[n] != reference:
            wrong.append((event.kind, reasons[n], reference, event.body[:300]))
    return wrong[:10]


def test_each_event_that_something_happened_to_is_refused_for_it_or_taken_as_it_was_meant(spark):
    events = list(mutated_events(1, ENQUEUED, 5000))
    frame = parsed(Parser(Settings()), spark, logged(events))
    rows = frame.selectExpr(
        "offset", "reason", "sha256 IS NOT NULL AS kept", "event_id IS NOT NULL AS has_id"
    ).collect()
    assert sorted(row.offset for row in rows) == list(range(len(events)))
    assert all(row.kept is (row.reason is not None) and (row.kept or row.has_id) for row in rows)
    assert misread(events, {row.offset: row.reason for row in rows}) == []
    assert Counter(event.kind for event in events).keys() == set(KINDS)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_hundred_thousand_such_events_are_stored_or_kept_as_dead_letters(spark, tmp_path, seed):
    tables = DeltaTables(str(tmp_path))
    create_tables(tables)
    ingest = Ingest(spark, tables, Settings(), f"fuzz-{seed}", 1)
    events = list(mutated_events(seed, ENQUEUED, 25_000))
    batch = ingest.store(parsed(Parser(Settings()), spark, logged(events)), 0)
    counts = batch.counts
    assert counts.received == len(events) == counts.stored + counts.dead_letters + counts.duplicates
    found = {row["offset"]: row["reason"] for row in tables.read("dead_letters", 'SELECT "offset", reason FROM t')}
    stored = {row["offset"] for row in tables.read("predictions", 'SELECT "offset" FROM t')}
    assert (len(found), len(stored)) == (counts.dead_letters, counts.stored)
    assert not stored & found.keys()
    # A bit may have made an id that of another event: such a copy is in neither table, and its reason was none.
    assert misread(events, {n: found.get(n) for n in range(len(events))}) == []
