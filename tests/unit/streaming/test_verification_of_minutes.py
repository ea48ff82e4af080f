"""Verification of partials that were added up: it holds before and after, and whatever is changed in them is found."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake
from equipment.recomputed_tables import SETTINGS, START, write_recomputed
from equipment.verified_tables import broken, copy_of, verify

from pegel.errors import OutsideError
from pegel.schemas.erasures import ErasureRequest, Subject
from pegel.schemas.tables import TABLES
from pegel.streaming.verify.verification import Report, Verification
from pegel.tables.audit import AuditTrail
from pegel.tables.erased import erased_counts
from pegel.tables.erasure import WRITER, Erasure
from pegel.tables.merging import MergingTables, merged_up_to

EVENTS, SIZE, MERGED, GRID_SINCE = 400, 40, 7, 3

Row = dict[str, Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> MergingTables:
    tables = MergingTables(str(tmp_path_factory.mktemp("tables")))
    write_recomputed(tables, 29, EVENTS, SIZE, GRID_SINCE)
    # In two steps, as two nights would do it.
    tables.merge(MERGED - 3, rows_at_a_time=50)
    tables.merge(MERGED, rows_at_a_time=50)
    return tables


@pytest.fixture
def tables(written: MergingTables, tmp_path: Path) -> MergingTables:
    """A copy that a test may change."""
    return copy_of(written, tmp_path / "tables")


def differences(report: Report) -> list[str]:
    return [str(difference) for law in report.laws for difference in law.differences]


def change(tables: MergingTables, name: str, edit: Callable[[list[Row]], list[Row]]) -> None:
    """Put edited rows in the place of all; what the log says of merging stays."""
    schema = TABLES[name].arrow_schema
    rows = sorted(tables.read(name), key=lambda row: (row["batch_id"], row.get("kind") != "live", row.get("segment")))
    data = DeltaTable(tables.uri(name)).to_pyarrow_table().schema.empty_table().cast(schema)
    write_deltalake(tables.uri(name), data.from_pylist(edit(rows), schema=schema), mode="overwrite")


@pytest.mark.parametrize("slice_events", [1, 10_000])
def test_sums_of_old_partials_keep_every_law_however_they_are_cut(written: MergingTables, slice_events: int) -> None:
    assert merged_up_to(written) == MERGED
    report = verify(written, slice_events)
    assert differences(report) == []
    checked = {law.name: law.checked for law in report.laws}
    assert min(checked["minutes"], checked["profiles"], checked["labels"]) > 10
    sums = written.read("profiles", f"SELECT * FROM t WHERE batch_id <= {MERGED}")
    assert {row["window_s"] for row in sums} == {60}
    assert len({row["grid"] for row in sums if (row["model"], row["version"]) == ("assistant", "1")}) == 2
    assert {row["kind"] for row in sums} == {"live", "feedback"}


def first_of(kind: str, **values: Any) -> Callable[[list[Row]], list[Row]]:
    def edit(rows: list[Row]) -> list[Row]:
        first = next(row for row in rows if row["kind"] == kind and row["batch_id"] <= MERGED)
        return [row | values if row is first else row for row in rows]

    return edit


def one_event_more(rows: list[Row]) -> list[Row]:
    counts = rows[0]["counts"]
    return first_of("live", counts=counts | {"events": counts["events"] + 1})(rows)


def another_cell(rows: list[Row]) -> list[Row]:
    (column, content), *others = rows[0]["numeric"].items()
    moved = {cell + 1: n for cell, n in content["cells"].items()}
    return first_of("live", numeric=dict(others) | {column: content | {"cells": moved}})(rows)


def another_correct(rows: list[Row]) -> list[Row]:
    first = next(row for row in rows if row["kind"] == "feedback")
    return first_of("feedback", counts=first["counts"] | {"correct": first["counts"].get("correct", 0) - 1})(rows)


@pytest.mark.parametrize(
    ("table", "edit"),
    [
        ("profiles", lambda rows: rows[1:]),
        ("profiles", lambda rows: [rows[0], *rows]),
        ("profiles", one_event_more),
        ("profiles", another_cell),
        ("profiles", another_correct),
        ("profiles", first_of("live", window_s=10)),
        ("profiles", first_of("live", segment="country=xx")),
        ("profiles", first_of("live", last_enqueued=START + timedelta(days=1))),
        ("predictions", lambda rows: rows[1:]),
        ("predictions", lambda rows: [rows[0] | {"latency_ms": 1e6}, *rows[1:]]),
        ("feedback", lambda rows: [row for row in rows if row["kind"] != "label" or row["batch_id"] > 2]),
    ],
)
def test_a_change_in_a_sum_or_in_what_it_stands_for_is_found(
    tables: MergingTables, table: str, edit: Callable[[list[Row]], list[Row]]
) -> None:
    change(tables, table, edit)
    assert merged_up_to(tables) == MERGED
    report = verify(tables)
    assert "minutes" in broken(report)
    assert "profiles" not in broken(report), "partials that are kept one by one are as they were"


def erase(tables: MergingTables, tmp_path: Path) -> Counter[int]:
    trail = AuditTrail(tables, WRITER, tmp_path / "audit")
    trail.start()
    subjects = (Subject("segments", "country", "de"),)
    Erasure(tables, trail.record).carry_out(ErasureRequest("anerasure", subjects, "root", "a ticket", START))
    trail.close()
    return Counter(erased_counts(tables, SETTINGS.source.feedback_hub)["predictions"])


def test_erased_rows_are_accounted_for_before_and_after_their_partials_are_added_up(
    tables: MergingTables, tmp_path: Path
) -> None:
    erased = erase(tables, tmp_path)
    assert min(erased) <= MERGED - 2
    assert max(erased) > MERGED
    assert differences(verify(tables)) == []
    tables.merge(EVENTS // SIZE - 1)
    report = verify(tables, 60)
    assert differences(report) == []
    assert next(law for law in report.laws if law.name == "erased rows").checked >= 1


@pytest.mark.parametrize("edit", [one_event_more, another_cell, lambda rows: rows[1:]])
def test_a_changed_sum_is_found_beside_erased_rows(
    tables: MergingTables, tmp_path: Path, edit: Callable[[list[Row]], list[Row]]
) -> None:
    erase(tables, tmp_path)
    change(tables, "profiles", edit)
    assert broken(verify(tables)) & {"minutes", "erased rows"}


def test_partials_that_are_added_up_meanwhile_are_no_difference_but_a_reason_to_verify_again(
    tables: MergingTables,
) -> None:
    verification = Verification(tables, SETTINGS, {})
    tables.merge(MERGED + 1)
    with pytest.raises(OutsideError, match="verify again"):
        verification.run()
