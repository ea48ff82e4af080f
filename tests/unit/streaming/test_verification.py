"""Verification: nothing is found in tables that are right, and whatever is changed in them is found and named."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from equipment.recomputed_tables import SETTINGS, START, write_recomputed
from equipment.verified_tables import broken, copy_of, verify

from pegel.schemas.erasures import ErasureRequest, Subject
from pegel.tables.audit import AuditTrail
from pegel.tables.erased import erased_counts
from pegel.tables.erasure import WRITER, Erasure
from pegel.tables.owned import OwnedTables

EVENTS, SIZE = 300, 50


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> OwnedTables:
    tables = OwnedTables(str(tmp_path_factory.mktemp("tables")))
    write_recomputed(tables, 17, EVENTS, SIZE)
    return tables


@pytest.fixture
def tables(written: OwnedTables, tmp_path: Path) -> OwnedTables:
    """A copy that a test may change."""
    return copy_of(written, tmp_path / "tables")


def change(tables: OwnedTables, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Put these rows in the place of all."""
    DeltaTable(tables.uri(name)).delete()
    tables.append(name, rows)


@pytest.mark.parametrize("slice_events", [1, 10_000])
def test_tables_that_are_right_keep_every_law_however_they_are_cut(written: OwnedTables, slice_events: int) -> None:
    report = verify(written, slice_events)
    assert [difference for law in report.laws for difference in law.differences] == []
    assert report.holds
    assert report.up_to == (EVENTS - 1) // SIZE
    counted = {law.name: law.checked for law in report.laws}
    assert min(n for name, n in counted.items() if name not in {"erased rows", "minutes"}) > 10
    assert report.events == sum(len(written.read(name)) for name in ("predictions", "feedback", "dead_letters"))


def without_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows[1:]


def with_first_twice(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rows[0], *rows]


def first_with(**values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: [rows[0] | values, *rows[1:]]


def one_event_more(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = next(row for row in rows if row["kind"] == "live" and row["segment"] != "*")
    counts = first["counts"] | {"events": first["counts"]["events"] + 1}
    return [row | {"counts": counts} if row is first else row for row in rows]


def another_cell(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = next(row for row in rows if row["numeric"])
    (column, content), *others = first["numeric"].items()
    moved = {cell + 1: n for cell, n in content["cells"].items()}
    numeric = dict(others) | {column: content | {"cells": moved}}
    return [row | {"numeric": numeric} if row is first else row for row in rows]


def another_correct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = next(row for row in rows if row["kind"] == "feedback")
    counts = first["counts"] | {"correct": first["counts"].get("correct", 0) - 1}
    return [row | {"counts": counts} if row is first else row for row in rows]


@pytest.mark.parametrize(
    ("table", "edit", "laws"),
    [
        ("predictions", without_first, {"rows", "profiles"}),
        ("predictions", with_first_twice, {"rows", "profiles", "event ids", "coordinates"}),
        ("predictions", first_with(latency_ms=1e6), {"profiles"}),
        ("feedback", without_first, {"rows"}),
        ("feedback", with_first_twice, {"rows", "event ids", "coordinates"}),
        ("dead_letters", without_first, {"rows"}),
        ("dead_letters", first_with(offset=10**6), {"coordinates"}),
        ("profiles", without_first, {"profiles"}),
        ("profiles", with_first_twice, {"profiles"}),
        ("profiles", one_event_more, {"profiles"}),
        ("profiles", another_cell, {"profiles"}),
        ("profiles", another_correct, {"labels"}),
        ("batches", first_with(duplicates=10**6), {"conservation"}),
        ("batches", first_with(generation=7), {"commit marks"}),
        ("batches", first_with(unmatched=10**6), {"joined labels"}),
        ("batches", without_first, {"commit marks"}),
        ("batches", with_first_twice, {"commit marks", "offsets"}),
    ],
)
def test_a_change_in_a_table_breaks_the_law_that_is_about_it(
    tables: OwnedTables, table: str, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], laws: set[str]
) -> None:
    rows = sorted(tables.read(table), key=lambda row: (row["batch_id"], row.get("kind") != "live"))
    change(tables, table, edit(rows))
    report = verify(tables)
    assert broken(report) >= laws
    named = [difference for law in report.laws for difference in law.differences]
    assert all(str(difference).startswith((difference.table, "all tables")) for difference in named)
    assert named


def test_a_gap_between_two_micro_batches_is_named_with_the_offset_that_was_expected(tables: OwnedTables) -> None:
    rows = sorted(tables.read("batches"), key=lambda row: row["batch_id"])
    one = rows[3]["offsets"][0]
    moved = [one | {"first": one["first"] + 1}, *rows[3]["offsets"][1:]]
    change(tables, "batches", [row | {"offsets": moved} if row is rows[3] else row for row in rows])
    offsets = next(law for law in verify(tables).laws if law.name == "offsets")
    difference = offsets.differences[0]
    assert (difference.batch_id, difference.expected, difference.found) == (3, one["first"], one["first"] + 1)


def test_what_the_stream_has_under_way_is_left_out(tables: OwnedTables) -> None:
    last = max(tables.read("predictions"), key=lambda row: row["batch_id"])
    tables.append("predictions", [last | {"batch_id": 99, "event_id": "under way", "offset": 10**6}])
    assert verify(tables).holds


def erase(tables: OwnedTables, tmp_path: Path, *subjects: Subject) -> None:
    trail = AuditTrail(tables, WRITER, tmp_path / "audit")
    trail.start()
    Erasure(tables, trail.record).carry_out(ErasureRequest("anerasure", subjects, "root", "a ticket", START))
    trail.close()


def test_erased_rows_are_accounted_for_and_every_law_holds_on(tables: OwnedTables, tmp_path: Path) -> None:
    labelled = {row["event_id"] for row in tables.read("feedback")}
    subjects = [Subject("event_id", "", event_id) for event_id in sorted(labelled)[:15]]
    erase(tables, tmp_path, Subject("segments", "country", "de"), *subjects)
    erased = erased_counts(tables, SETTINGS.source.feedback_hub)
    assert min(Counter(erased[name]).total() for name in ("predictions", "feedback")) > 10
    report = verify(tables, 60)
    assert [difference for law in report.laws for difference in law.differences] == []
    assert next(law for law in report.laws if law.name == "erased rows").checked > 5


def test_a_row_that_is_gone_without_an_erasure_is_found_beside_erased_ones(tables: OwnedTables, tmp_path: Path) -> None:
    erase(tables, tmp_path, Subject("segments", "country", "de"))
    change(tables, "predictions", tables.read("predictions")[1:])
    assert broken(verify(tables)) >= {"rows", "erased rows"}
