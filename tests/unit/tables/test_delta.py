"""Delta without Spark: a transaction is written once, what is not there is empty, unknown columns are refused."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pegel.errors import OutsideError
from pegel.tables.delta import DeltaTables


def row(version: str) -> dict[str, Any]:
    return {
        "model": "m",
        "expected_version": version,
        "new_version": version + "+1",
        "at": datetime(2026, 11, 25, tzinfo=UTC),
        "by": "someone",
        "reason": "promoted",
    }


def test_a_transaction_is_written_once(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    assert tables.append("promotions", [row("1")], ("app", 5))
    assert not tables.append("promotions", [row("1")], ("app", 5))
    assert not tables.append("promotions", [row("0")], ("app", 4))
    assert tables.append("promotions", [row("2")], ("app", 6))
    assert tables.append("promotions", [row("3")], ("another", 1))
    assert sorted(r["expected_version"] for r in tables.read("promotions")) == ["1", "2", "3"]


def test_a_table_that_is_not_there_has_no_rows_and_no_version(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    assert tables.read("alerts") == []
    assert tables.version("alerts") == -1
    assert not tables.exists("alerts")


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="colour"):
        DeltaTables(str(tmp_path)).append("promotions", [row("1") | {"colour": "red"}])


def test_no_rows_write_nothing(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    assert not tables.append("promotions", [])
    assert tables.version("promotions") == -1


def test_storage_that_fails_is_an_outside_error_of_one_sentence(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    tables.append("promotions", [row("1")])
    for file in (tmp_path / "promotions").glob("*.parquet"):
        file.unlink()
    (tmp_path / "alerts" / "_delta_log").mkdir(parents=True)
    (tmp_path / "alerts" / "_delta_log" / "00000000000000000000.json").write_text("garbage")
    (tmp_path / "file").write_text("where a folder should be")
    blocked = DeltaTables(str(tmp_path / "file"))
    failing = {
        "read the table 'promotions'": lambda: tables.read("promotions"),
        "open the table 'alerts'": lambda: tables.version("alerts"),
        "create the table 'promotions'": lambda: blocked.append("promotions", [row("1")]),
    }
    for words, ask in failing.items():
        with pytest.raises(OutsideError, match=words) as refused:
            ask()
        assert "\n" not in str(refused.value)


def test_a_query_that_makes_no_sense_is_no_fault_of_the_storage(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    tables.append("promotions", [row("1")])
    with pytest.raises(Exception, match="colour") as refused:
        tables.read("promotions", "SELECT colour FROM t")
    assert not isinstance(refused.value, OutsideError)
