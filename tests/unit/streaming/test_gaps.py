"""Gaps: what was read and what is on record as missing are all numbers once, and verification accepts no other hole."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import OutsideError
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
from pegel.streaming.ingest.gap_records import EXPIRED, NO_EVENT, GapRecords
from pegel.streaming.ingest.holes import Reached, holes_within
from pegel.streaming.verify.batch_laws import BatchLaws, RowCounts
from pegel.tables.delta import DeltaTables

NOW = datetime(2026, 11, 28, tzinfo=UTC)
QUERY = "q"


def read(*numbers: int, hub: str = "predictions", partition: str = "0") -> dict[str, Any]:
    """What ``batches`` says of a partition of which these were read."""
    ends = {"first": min(numbers), "last": max(numbers), "count": len(numbers)}
    return {"hub": hub, "partition": partition, **ends, "last_enqueued": NOW}


def index(*numbers: int) -> pa.Table:
    n = len(numbers)
    return pa.table({"hub": ["predictions"] * n, "partition": ["0"] * n, "offset": pa.array(numbers, pa.int64())})


def batch(batch_id: int, *numbers: int) -> IngestedBatch:
    ranges = [read(*numbers)]
    counts = BatchCounts(received=len(numbers), dead_letters=len(numbers))
    holes = holes_within(index(*numbers), ranges)
    return IngestedBatch(QUERY, batch_id, ranges, holes, [], counts, None, NOW, NOW, NOW, False)


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    tables = DeltaTables(str(tmp_path))
    for name in ("batches", "gaps"):
        tables.create(name)
    return tables


def mark(one: IngestedBatch) -> dict[str, Any]:
    counts = dict.fromkeys(("stored", "duplicates", "in_partials"), 0)
    feedback = {f"feedback_{name}": 0 for name in ("received", "stored", "dead_letters", "duplicates")}
    received = {"received": one.counts.received, "dead_letters": one.counts.received}
    return {"query_id": QUERY, "batch_id": one.batch_id, "generation": 0, "offsets": list(one.offsets)} | {
        **counts, **feedback, **received,
    }  # fmt: skip


def differences(batches: Sequence[IngestedBatch], gaps: Sequence[dict[str, Any]]) -> list[str]:
    by_place = defaultdict(list)
    for gap in sorted(gaps, key=lambda gap: gap["first_offset"]):
        by_place[gap["batch_id"], gap["hub"], gap["partition"]].append((gap["first_offset"], gap["last_offset"]))
    laws = BatchLaws(RowCounts({}, {}, {}, by_place))
    for one in batches:
        laws.check(mark(one))
    laws.finish(batches[-1].batch_id)
    return [str(difference) for difference in laws.offsets.differences]


runs = st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=25).map(sorted), min_size=1, max_size=6)


@given(st.sets(st.integers(0, 200), min_size=1), st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_what_was_read_and_what_is_on_record_are_all_numbers_once_however_they_are_cut(
    numbers: set[int], sizes: list[int]
) -> None:
    left = sorted(numbers)
    batches = []
    while left:
        size = sizes[len(batches) % len(sizes)]
        batches.append(batch(len(batches), *left[:size]))
        left = left[size:]
    records = GapRecords(_Nothing(), QUERY, lambda *_: 1000)
    gaps = [row for one in batches for row in records.rows(one)]
    missing = [n for gap in gaps for n in range(gap["first_offset"], gap["last_offset"] + 1)]
    assert sorted([*missing, *numbers]) == list(range(min(numbers), max(numbers) + 1))
    assert {gap["cause"] for gap in gaps} <= {EXPIRED}
    assert differences(batches, gaps) == []
    for i in range(len(gaps)):
        assert differences(batches, gaps[:i] + gaps[i + 1 :]) != []
        shorter = gaps[i] | {"last_offset": gaps[i]["last_offset"] - 1}
        assert differences(batches, [*gaps[:i], shorter, *gaps[i + 1 :]]) != []


class _Nothing(DeltaTables):
    """Tables without a row of ``batches``."""

    def __init__(self) -> None:
        super().__init__("nowhere")

    def read(self, name: str, _sql: str = "") -> list[Any]:
        assert name == "batches"
        return []


def test_a_gap_where_nothing_is_missing_is_a_difference() -> None:
    batches = [batch(0, 1, 2), batch(1, 3, 4)]
    gap = {"batch_id": 1, "hub": "predictions", "partition": "0", "first_offset": 3, "last_offset": 3}
    assert differences(batches, [gap]) != []
    assert differences(batches, [gap | {"first_offset": 7, "last_offset": 8}]) != []
    assert differences(batches, [gap | {"partition": "5"}]) != []
    assert differences(batches, []) == []


def test_a_restart_misses_what_expired_meanwhile_and_names_it_once(tables: DeltaTables) -> None:
    first, second = batch(0, 1, 2, 3), batch(1, 6, 9)
    other = mark(first) | {"query_id": "another", "offsets": [read(90, 91)], "batch_id": 10**9}
    tables.append("batches", [mark(first), other])
    records = GapRecords(tables, QUERY, lambda *_: 9)
    rows = records.rows(second)
    named = [(row["batch_id"], row["hub"], row["partition"], row["first_offset"], row["last_offset"]) for row in rows]
    assert named == [(1, "predictions", "0", 4, 5), (1, "predictions", "0", 7, 8)]
    assert {(row["cause"], row["oldest_offset"]) for row in rows} == {(EXPIRED, 9)}
    # A process that died before the commit mark finds the same, whatever stands there of later micro-batches.
    assert tables.append("gaps", rows, (f"{QUERY}/gaps", 1))
    again = GapRecords(tables, QUERY, lambda *_: 9).rows(second)
    assert [row | {"found_at": None} for row in again] == [row | {"found_at": None} for row in rows]
    assert not tables.append("gaps", again, (f"{QUERY}/gaps", 1))
    assert differences([first, second], tables.read("gaps")) == []
    assert records.rows(batch(2, 10, 11)) == []


@pytest.mark.parametrize(("oldest", "named"), [(2, "4 to 5"), (5, "5 to 5")])
def test_events_that_the_hub_still_holds_are_no_loss_but_an_error(tables: DeltaTables, oldest: int, named: str) -> None:
    tables.append("batches", [mark(batch(0, 1, 2, 3))])
    with pytest.raises(OutsideError, match=f"predictions/0 did not give the events {named}, which it holds"):
        GapRecords(tables, QUERY, lambda *_: oldest).rows(batch(1, 6))


def test_over_kafka_a_hole_is_on_record_as_numbers_that_no_event_has(tables: DeltaTables) -> None:
    rows = GapRecords(tables, QUERY, lambda *_: None).rows(batch(0, 1, 2, 4))
    assert [(row["cause"], row["oldest_offset"], row["first_offset"]) for row in rows] == [(NO_EVENT, None, 3)]


@given(runs)
def test_each_partition_is_followed_by_itself(numbers: list[list[int]]) -> None:
    together, alone = Reached({}), [Reached({}) for _ in "ab"]
    start = 0
    for some in numbers:
        shifted = [start + n for n in some]
        start = shifted[-1] + 1
        ranges = [read(*shifted), read(*(2 * n for n in shifted), hub="feedback")]
        found = list(together.holes_before(ranges))
        assert found == [hole for one, range_ in zip(alone, ranges, strict=True) for hole in one.holes_before([range_])]
        together.advance(ranges)
        for one, range_ in zip(alone, ranges, strict=True):
            one.advance([range_])


def test_files_have_no_gaps(tables: DeltaTables) -> None:
    one = batch(1, 5, 6)
    ranges = [read(5, 6, hub="predictions:backfill", partition="a.jsonl")]
    earlier = mark(batch(0, 1)) | {"offsets": [read(1, hub="predictions:backfill", partition="a.jsonl")]}
    tables.append("batches", [earlier])
    of_files = IngestedBatch(QUERY, 1, ranges, (), [], one.counts, None, NOW, NOW, NOW, False)
    assert GapRecords(tables, QUERY, lambda *_: 0).rows(of_files) == []
