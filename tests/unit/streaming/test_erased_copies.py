"""Copies of erased events: they are known again by digest and place, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pegel.schemas.erasures import digest_of
from pegel.streaming.ingest.erased import erased_before, erased_letters
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import NAME

START = datetime(2026, 11, 25, 3, 0, 0, 123456, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    """Two erasures: of a prediction, of feedback with the same id and time, and of a dead letter."""
    tables = DeltaTables(str(tmp_path))
    base = {"hub": "h", "partition": "0", "at": START, "batch_id": 3}
    rows = [
        {"erasure_id": name, "table_name": table, "offset": i, "time": START, "digest": digest_of(name, event, START)}
        for i, (name, table, event) in enumerate([("one", "predictions", "gone"), ("two", "feedback", "said")])
    ]
    letter = {"erasure_id": "two", "table_name": "dead_letters", "offset": 7}
    tables.append(NAME, [base | row for row in (*rows, letter)])
    return tables


def back(tables: DeltaTables, name: str, batch_id: int, *keys: tuple[str, datetime]) -> list[str]:
    ids = pa.chunked_array([[key for key, _ in keys]], pa.string())
    times = pa.chunked_array([[time for _, time in keys]], TIME)
    found = erased_before(tables, name, batch_id, ids, times)
    assert found.schema.names == ["id", "time"]
    return [str(key) for key in found["id"].to_pylist()]


def test_an_event_is_back_if_its_id_and_time_were_erased_from_its_table(tables: DeltaTables) -> None:
    later = START + timedelta(microseconds=1)
    keys = [("gone", START), ("gone", later), ("other", START), ("said", START)]
    assert back(tables, "predictions", 4, *keys) == ["gone"]
    assert back(tables, "feedback", 4, *keys) == ["said"]


def test_a_replayed_micro_batch_does_not_find_what_it_had_stored_itself(tables: DeltaTables) -> None:
    assert back(tables, "predictions", 3, ("gone", START)) == []


def test_without_events_or_erasures_nothing_is_back(tables: DeltaTables, tmp_path: Path) -> None:
    assert back(tables, "predictions", 4) == []
    assert back(DeltaTables(str(tmp_path / "elsewhere")), "predictions", 4, ("gone", START)) == []


def test_a_refused_event_is_back_at_its_place_alone(tables: DeltaTables) -> None:
    places = [
        ("h", "0", 7, False),
        ("h", "0", 6, False),
        ("h", "1", 7, False),
        ("g", "0", 7, False),
        ("h", "0", 7, True),
    ]
    index = pa.table(dict(zip(("hub", "partition", "offset", "fit"), zip(*places, strict=True), strict=True)))
    assert erased_letters(tables, index, 4).to_pylist() == [dict(zip(index.column_names, places[0], strict=True))]
    assert len(erased_letters(tables, index, 3)) == 0
