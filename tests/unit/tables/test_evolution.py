"""Old tables become what this version writes by columns at the end alone; rows and replays stay what they were."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Schema, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import ContractError
from pegel.schemas.tables import TABLES, table_of
from pegel.tables.delta import DeltaTables
from pegel.tables.evolution import add_missing_columns, missing_fields

WANTED = table_of("deliveries").arrow_schema
OLD = pa.schema([field for field in WANTED if field.name != "audit_heads"])


def row(attempt: int, **more: Any) -> dict[str, Any]:
    empty = {field.name: None for field in WANTED if field.nullable}
    required = {field.name: _some(field.type) for field in WANTED if not field.nullable}
    return empty | required | {"attempt": attempt} | more


def _some(kind: pa.DataType) -> Any:
    return (
        datetime(2026, 11, 28, tzinfo=UTC) if pa.types.is_timestamp(kind) else 1 if pa.types.is_integer(kind) else "x"
    )


def make(root: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]] = ()) -> DeltaTables:
    """The table as another version of Pegel made it."""
    DeltaTable.create(str(root / "deliveries"), schema)
    if rows:
        write_deltalake(str(root / "deliveries"), pa.Table.from_pylist(list(rows), schema=schema), mode="append")
    return DeltaTables(str(root))


def changed(name: str, *, kind: pa.DataType | None = None, nullable: bool | None = None) -> pa.Schema:
    """The schema with one column as some other version might have it."""
    field = WANTED.field(name)
    field = field.with_type(kind) if kind is not None else field
    field = field.with_nullable(nullable) if nullable is not None else field
    return WANTED.set(WANTED.get_field_index(name), field)


def heads(tables: DeltaTables) -> dict[int, str | None]:
    return {found["attempt"]: found["audit_heads"] for found in tables.read("deliveries")}


def test_old_rows_are_null_in_an_added_column_and_new_ones_hold_it(tmp_path: Path) -> None:
    tables = make(tmp_path, OLD, [row(1)])
    assert tables.append("deliveries", [row(2, audit_heads="{}")])
    assert heads(tables) == {1: None, 2: "{}"}
    assert [field.name for field in DeltaTable(tables.uri("deliveries")).schema().fields][-1] == "audit_heads"
    tables.compact("deliveries")
    assert heads(DeltaTables(str(tmp_path))) == {1: None, 2: "{}"}


def test_columns_are_added_once_and_a_replay_adds_nothing(tmp_path: Path) -> None:
    tables = make(tmp_path, OLD)
    write_deltalake(tables.uri("deliveries"), pa.Table.from_pylist([row(1)], schema=OLD), mode="append")
    for again in (tables, tables, DeltaTables(str(tmp_path))):
        again.create("deliveries")
        again.append("deliveries", [row(2, audit_heads="{}")], ("app", 1))
    # Made, one row of before, the column, the row.
    assert (tables.version("deliveries"), heads(tables)) == (3, {1: None, 2: "{}"})


def test_whoever_only_reads_alters_nothing(tmp_path: Path) -> None:
    tables = make(tmp_path, OLD, [row(1)])
    assert "audit_heads" not in tables.read("deliveries")[0]
    assert tables.version("deliveries") == 1


def test_of_two_writers_that_open_an_old_table_at_once_neither_fails(tmp_path: Path) -> None:
    tables = make(tmp_path, OLD)
    one, other = (DeltaTable(tables.uri("deliveries")) for _ in range(2))
    for there in (one, other):
        add_missing_columns(table_of("deliveries"), there)
        assert missing_fields(table_of("deliveries"), there.schema()) == []
    assert tables.version("deliveries") == 1


def test_an_older_version_leaves_null_what_it_does_not_know(tmp_path: Path) -> None:
    kinds = [pa.string(), pa.map_(pa.string(), pa.int64()), pa.list_(pa.struct([pa.field("a", pa.timestamp("us"))]))]
    newer = WANTED
    for number, kind in enumerate(kinds):
        newer = newer.insert(number, pa.field(f"later{number}", kind))
    tables = make(tmp_path, newer)
    assert tables.append("deliveries", [row(1, audit_heads="{}")])
    (found,) = tables.read("deliveries")
    assert found == row(1, audit_heads="{}") | dict.fromkeys(["later0", "later1", "later2"])


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (changed("attempt", kind=pa.string()), "holds the column 'attempt' as string"),
        (changed("attempt", kind=pa.int64()), "holds the column 'attempt' as int64, and this version writes int32"),
        (changed("audit_heads", nullable=False), "refuses null in the column 'audit_heads'"),
        (WANTED.remove(WANTED.get_field_index("attempt")), "lacks the column 'attempt'"),
        (WANTED.append(pa.field("colour", pa.string(), nullable=False)), "'colour', which may not be null"),
    ],
)
def test_whatever_is_no_added_column_is_refused_and_nothing_is_written(
    tmp_path: Path, there: pa.Schema, says: str
) -> None:
    tables = make(tmp_path, there)
    for write in (lambda: tables.create("deliveries"), lambda: tables.append("deliveries", [row(1)])):
        with pytest.raises(ContractError, match=says) as refused:
            write()
        assert "\n" not in str(refused.value)
        assert "give storage.root a new place" in str(refused.value)
    assert tables.version("deliveries") == 0


def test_a_table_may_be_looser_than_this_version_needs(tmp_path: Path) -> None:
    tables = make(tmp_path, changed("attempt", nullable=True))
    assert tables.append("deliveries", [row(1)])
    assert tables.version("deliveries") == 1


@given(st.sampled_from(list(TABLES.values())), st.data())
def test_whatever_nullable_columns_are_missing_exactly_these_are_added(table: Any, data: st.DataObject) -> None:
    names = [column.name for column in table.columns if column.nullable]
    missing = data.draw(st.sets(st.sampled_from(names))) if names else set()
    kept = data.draw(st.permutations([field for field in table.arrow_schema if field.name not in missing]))
    found = missing_fields(table, Schema.from_arrow(pa.schema(kept)))
    assert [field.name for field in found] == [name for name in names if name in missing]
    assert all(field.nullable for field in found)


def test_a_table_of_an_older_version_gets_the_properties_of_this_one_once(tmp_path: Path) -> None:
    old = {"delta.logRetentionDuration": "interval 1 days", "delta.deletedFileRetentionDuration": "interval 1 days"}
    wanted = TABLES["batches"]
    DeltaTable.create(
        str(tmp_path / "batches"), wanted.arrow_schema, configuration=old | {"delta.enableExpiredLogCleanup": "true"}
    )
    tables = DeltaTables(str(tmp_path))
    tables.create("batches")
    found = DeltaTable(tables.uri("batches")).metadata().configuration
    assert found == wanted.properties | {"delta.enableExpiredLogCleanup": "true"}
    version = tables.version("batches")
    tables.create("batches")
    assert tables.version("batches") == version
