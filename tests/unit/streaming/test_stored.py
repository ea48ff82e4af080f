from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.streaming.ingest.stored import spans_of, stored_before
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
COLUMNS = ("event_id", "event_time", "segments")
HOSTILE = "x' OR '1'='1"


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=60), st.integers(1, 8))
def test_spans_hold_every_time_and_are_few_apart_and_in_order(times: list[int], at_most: int) -> None:
    spans = spans_of(pa.chunked_array([times], TIME), at_most)
    assert 1 <= len(spans) <= at_most
    assert all(any(first <= time <= last for first, last in spans) for time in times)
    assert {edge for span in spans for edge in span} <= set(times)
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    assert all(gap > 60_000_000 for gap in gaps)


def test_a_straggler_adds_its_own_moment_and_not_the_time_between() -> None:
    times = [10**12 + i for i in range(100)]
    assert spans_of(pa.chunked_array([[5, *times]], TIME)) == [(5, 5), (times[0], times[-1])]


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    tables = DeltaTables(str(tmp_path))
    for batch_id in range(4):
        rows = [
            {
                "event_id": name,
                "event_time": START + timedelta(minutes=10 * batch_id),
                "batch_id": batch_id,
                "model": "m",
                "version": "1",
                "segments": {"of": name},
                "hub": "predictions",
                "partition": "0",
                "offset": batch_id,
                "enqueued_time": START,
            }
            for name in ("a", "b", HOSTILE)
        ]
        tables.append("predictions", rows)
    return tables


def asked(*wanted: tuple[str, int]) -> dict[str, pa.ChunkedArray]:
    return {
        "event_id": pa.chunked_array([[name for name, _ in wanted]], pa.string()),
        "event_time": pa.chunked_array([[START + timedelta(minutes=minute) for _, minute in wanted]], TIME),
    }


def test_rows_of_lower_micro_batches_with_id_and_time_are_found(tables: DeltaTables) -> None:
    found = stored_before(tables, "predictions", 2, COLUMNS, asked(("a", 0), ("b", 10), ("a", 20), ("c", 0)))
    rows = {(row["event_id"], row["event_time"]) for row in found.to_pylist()}
    assert {("a", START), ("b", START + timedelta(minutes=10))} <= rows
    assert max(time for _, time in rows) < START + timedelta(minutes=20)
    assert {name for name, _ in rows} == {"a", "b"}
    assert found.schema.names == list(COLUMNS)


def test_an_id_is_compared_and_never_read_as_sql(tables: DeltaTables) -> None:
    found = stored_before(tables, "predictions", 9, COLUMNS, asked((HOSTILE, 0)))
    assert [dict(row["segments"]) for row in found.to_pylist()] == [{"of": HOSTILE}]


def test_who_asks_for_nothing_gets_nothing(tables: DeltaTables) -> None:
    assert len(stored_before(tables, "predictions", 9, COLUMNS, asked())) == 0
    empty = DeltaTables(str(tables.uri("predictions")) + "-elsewhere")
    assert len(stored_before(empty, "predictions", 9, COLUMNS, asked(("a", 0)))) == 0
