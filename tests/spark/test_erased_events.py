"""Erasures between micro-batches of the real step: it goes on behind them, and nothing that was erased comes back."""

from dataclasses import replace

import pytest
from equipment.event_frames import ParsedEvents
from equipment.recomputed_tables import SETTINGS, START, logged_events, write_baseline, write_grid

from pegel.jobs.wiring.erasing import carry_out, open_owned
from pegel.schemas.erasures import ErasureRequest, Subject
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.ingest.step import Ingest
from pegel.streaming.verify.verification import Verification
from pegel.tables.erased import erased_counts
from pegel.tables.erasure import file_request, filed_requests

pytestmark = pytest.mark.spark

SUBJECTS = (Subject("segments", "country", "de"), Subject("extra", "nobody", "x"))


@pytest.fixture
def settings(tmp_path):
    storage = SETTINGS.storage.model_copy(update={"root": str(tmp_path / "tables")})
    return SETTINGS.model_copy(update={"storage": storage})


@pytest.fixture
def tables(settings):
    tables = open_owned(settings)
    create_tables(tables)
    write_grid(tables)
    write_baseline(tables)
    return tables


def differences(tables):
    report = Verification(tables, SETTINGS, erased_counts(tables, "feedback")).run()
    assert report.up_to >= 0
    return [str(difference) for law in report.laws for difference in law.differences]


def test_ingest_goes_on_behind_an_erasure_and_stores_no_erased_event_again(spark, tables, settings):
    events = logged_events(17, 300)
    frame = ParsedEvents(SETTINGS, spark, events).of
    ingest = Ingest(spark, tables, SETTINGS, "query-a", 0)
    ingest.commit(ingest.store(frame(events[:120]), 0))
    stored = ingest.store(frame(events[120:240]), 1)
    file_request(tables, ErasureRequest("anerasure", SUBJECTS, "root", "a ticket", START))
    # Its commit mark is missing: a replay would miss rows.
    assert carry_out(settings, tables) is None
    ingest.commit(stored)
    assert differences(tables) == []
    bodies = [row["body"] for row in tables.read("dead_letters") if row["body"]]
    letter = Subject("features", "any", next(word for word in bodies[0].split() if len(word) > 2 and word.isalnum()))
    file_request(tables, ErasureRequest("another", (letter,), "root", "a ticket", START))
    (erased, other) = carry_out(settings, tables)
    assert min(erased.rows["predictions"], erased.rows["feedback"], other.rows["dead_letters"]) > 0
    assert filed_requests(tables) == []
    assert differences(tables) == []

    # The process had died before Spark knew that the micro-batch was complete, so it comes again.
    replayed = Ingest(spark, tables, SETTINGS, "query-a", 0).store(frame(events[120:240]), 1)
    assert replayed.replayed
    assert replayed.counts.conserved
    # Whether its labels have a prediction is asked anew, and what stands in the tables is not changed by that.
    joined = dict.fromkeys(("matched", "unmatched", "joined_later"), 0)
    assert replace(replayed.counts, **joined) == replace(stored.counts, **joined)

    ingest.commit(ingest.store(frame(events[240:]), 2))
    rows = {name: len(tables.read(name)) for name in ("predictions", "feedback")}
    letters = len(tables.read("dead_letters"))
    assert differences(tables) == []

    # A new checkpoint reads the hubs from their start.
    again = Ingest(spark, tables, SETTINGS, "query-b", 1)
    stored = again.store(frame(events), 0)
    again.commit(stored)
    assert stored.counts.conserved
    assert {name: len(tables.read(name)) for name in rows} == rows
    # Dead letters are stored again, but for those that were erased.
    assert len(tables.read("dead_letters")) == 2 * letters
    assert differences(tables) == []
