"""Adding old partials up: the sums stay, one commit takes the old rows and brings the new, and nobody is held up."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field
from deltalake.schema import PrimitiveType

from pegel.errors import ContractError, OutsideError
from pegel.jobs.maintain import main
from pegel.schemas.partials import Tally, tally_from_row, tally_to_row
from pegel.tables import merging
from pegel.tables.maintenance import Maintenance
from pegel.tables.merging import Merged, MergingTables, merged_up_to

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
BATCHES = 40

Row = dict[str, Any]


def partial(batch_id: int, kind: str = "live", late_s: int = 0) -> Row:
    at = START + timedelta(seconds=3 * batch_id - late_s)
    tally = Tally(Counter(events=batch_id + 1), {"x": Counter({7: 1, -1: 2})}, {"x": (5, 25)}, {"y": Counter(a=2)})
    return {
        "model": "m",
        "version": "1",
        "segment": "*",
        "window_start": at - timedelta(seconds=at.second % 10),
        "window_s": 10,
        "grid": "g",
        "batch_id": batch_id,
        "kind": kind,
        "first_enqueued": None if kind == "feedback" else at,
        "last_enqueued": None if kind == "feedback" else at,
        **tally_to_row(tally),
    }


def store(tables: MergingTables, first: int, count: int) -> None:
    for batch_id in range(first, first + count):
        tables.append("profiles", [partial(batch_id), partial(batch_id, "feedback", 25)], ("q/profiles", batch_id))


@pytest.fixture
def tables(tmp_path: Path) -> MergingTables:
    made = MergingTables(str(tmp_path))
    store(made, 0, BATCHES)
    return made


def sums(tables: MergingTables) -> dict[tuple[Any, ...], Row]:
    """What each minute and kind holds, added one by one."""
    found: dict[tuple[Any, ...], Tally] = {}
    for row in tables.read("profiles"):
        key = row["window_start"].replace(second=0), row["kind"]
        found.setdefault(key, Tally()).add(tally_from_row(row))
    return {key: tally_to_row(tally) for key, tally in found.items()}


def rows(tables: MergingTables, where: str) -> list[Row]:
    return tables.read("profiles", f"SELECT * FROM t WHERE {where} ORDER BY window_start, kind, batch_id")


def test_old_partials_become_one_row_a_minute_and_key_and_nothing_else_changes(tables: MergingTables) -> None:
    before, young = sums(tables), rows(tables, "batch_id > 25")
    merged = tables.merge(25, rows_at_a_time=7)
    old = rows(tables, "batch_id <= 25")
    assert merged == Merged(25, 52, len(old))
    assert len({(row["window_start"], row["kind"]) for row in old}) == len(old) == 4
    assert {row["window_s"] for row in old} == {60}
    assert sums(tables) == before
    assert rows(tables, "batch_id > 25") == young
    live = [row for row in old if row["kind"] == "live"]
    assert [row["batch_id"] for row in live] == [19, 25], "the highest micro-batch that touched the minute"
    assert live[0]["first_enqueued"] == START
    assert live[0]["last_enqueued"] == START + timedelta(seconds=57)


def test_a_second_merge_changes_nothing_and_a_later_one_adds_to_the_same_minutes(tables: MergingTables) -> None:
    before = sums(tables)
    tables.merge(25)
    version, there = tables.version("profiles"), rows(tables, "true")
    assert tables.merge(25) == Merged(25)
    assert tables.merge(10) == Merged(25)
    assert tables.version("profiles") == version
    assert rows(tables, "true") == there
    # A label about a minute that has been added up long ago.
    tables.append("profiles", [partial(BATCHES, "feedback", 3 * BATCHES)])
    with_label = sums(tables)
    assert tables.merge(BATCHES).up_to == BATCHES
    assert sums(tables) == with_label != before
    everything = rows(tables, "true")
    assert len({(row["window_start"], row["kind"]) for row in everything}) == len(everything)


def test_minutes_that_nothing_new_is_about_stay_in_their_files(tables: MergingTables) -> None:
    tables.merge(BATCHES - 1, rows_at_a_time=1)
    later = 20 * 60
    store(tables, later, 1)
    before = set(DeltaTable(tables.uri("profiles")).file_uris())
    tables.merge(later)
    assert before & set(DeltaTable(tables.uri("profiles")).file_uris()), "only the minutes of the new rows are written"


def test_how_far_it_came_outlives_checkpoints_and_the_log_before_them(tables: MergingTables) -> None:
    tables.merge(25)
    tables.forget("profiles")
    other = MergingTables(tables._root)
    assert merged_up_to(other) == 25
    assert other.last_transaction("profiles", "q/profiles") == BATCHES - 1


def test_whoever_is_cut_off_before_the_commit_leaves_the_old_rows(
    tables: MergingTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, calls = rows(tables, "true"), []
    add_up = merging.add_up

    def cut_off(some: pa.Table) -> pa.Table:
        calls.append(some.num_rows)
        if len(calls) > 2:
            raise OSError("no space left on the device")
        return add_up(some)

    monkeypatch.setattr(merging, "add_up", cut_off)
    with pytest.raises(OutsideError, match="no space left"):
        tables.merge(25, rows_at_a_time=10)
    assert rows(tables, "true") == before
    assert merged_up_to(tables) == -1
    monkeypatch.undo()
    assert tables.merge(25).up_to == 25


def test_the_old_rows_go_and_the_sums_come_in_one_commit(tables: MergingTables) -> None:
    before = tables.version("profiles")
    expected = sums(tables)
    tables.merge(25)
    assert tables.version("profiles") == before + 1
    for version in (before, before + 1):
        there = DeltaTable(tables.uri("profiles"), version=version).to_pyarrow_table()
        counted = Counter[Any]()
        for row in there.to_pylist(maps_as_pydicts="strict"):
            counted[row["window_start"].replace(second=0), row["kind"]] += row["counts"]["events"]
        assert counted == {key: row["counts"]["events"] for key, row in expected.items()}


def test_the_stream_appends_on_while_old_partials_are_added_up(tables: MergingTables) -> None:
    failed: list[Exception] = []
    started = threading.Event()

    def write() -> None:
        other = MergingTables(tables._root)
        started.set()
        try:
            store(other, BATCHES, BATCHES)
        except Exception as error:
            failed.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    started.wait()
    up_to = 0
    while writing.is_alive():
        up_to = min(up_to + 2, BATCHES - 1)
        tables.merge(up_to)
        Maintenance(tables._root).keep("profiles")
    writing.join()
    assert failed == []
    tables.merge(BATCHES - 1)
    assert sum(row["counts"]["events"] for row in sums(tables).values()) == 2 * sum(range(2 * BATCHES + 1))
    assert len(rows(tables, f"batch_id >= {BATCHES}")) == 2 * BATCHES


def test_a_column_that_this_version_does_not_know_is_a_reason_not_to_add_up(tables: MergingTables) -> None:
    DeltaTable(tables.uri("profiles")).alter.add_columns([Field("quantiles", PrimitiveType("string"), True)])
    with pytest.raises(ContractError, match="quantiles"):
        tables.merge(25)
    assert merged_up_to(tables) == -1


def test_the_job_adds_up_what_is_older_than_the_replay_retention(
    tables: MergingTables, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = dict.fromkeys(("generation", "received", "stored", "dead_letters", "duplicates", "in_partials"), 0)
    whole |= {f"feedback_{name}": 0 for name in ("received", "stored", "dead_letters", "duplicates")}
    marks = [
        {**whole, "query_id": "q", "batch_id": i, "offsets": [], "committed_at": START + timedelta(hours=i)}
        for i in range(BATCHES)
    ]
    tables.append("batches", marks)
    state = '{"stream": {"clock": [], "watermark": null, "open_windows": [], "open_since": null}}'
    block = {"model": "m", "version": "1", "segment": "*", "block_no": 0, "first_batch_id": 0, "n": 1, "grid": "g"}
    newest = BATCHES - 1
    tables.append(
        "blocks",
        [block | {"batch_id": newest, "last_batch_id": newest, "last_enqueued": START, "verdicts": [], "state": state}],
    )
    assert main(["--set", f"storage.root={tables._root}", "--set", "retention.replay_days=1"]) == 0
    # A day before the newest micro-batch lies that of the hour 15.
    assert merged_up_to(tables) == newest - 24 - 1
    assert capsys.readouterr().out.splitlines()[0] == "profiles: 30 partials up to micro-batch 14 -> 3 of a minute each"
