"""Keeping tables: fewer files, the same rows, and whoever appends meanwhile loses nothing."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pegel.errors import OutsideError
from pegel.jobs.maintain import main
from pegel.tables.maintenance import Maintenance, keep_all

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def row(number: int) -> dict[str, object]:
    return {"grid": f"g{number}", "model": "m", "created_at": NOW, "columns": []}


@pytest.fixture
def tables(tmp_path: Path) -> Maintenance:
    made = Maintenance(str(tmp_path))
    for number in range(30):
        made.append("grids", [row(number)], ("writer", number))
    return made


def grids(tables: Maintenance) -> list[str]:
    return sorted(found["grid"] for found in tables.read("grids"))


def test_small_files_become_few_and_every_row_and_transaction_stays(tables: Maintenance) -> None:
    before = grids(tables)
    kept = tables.keep("grids")
    assert (kept.files_before, kept.files_after) == (30, 1)
    assert grids(tables) == before
    assert tables.last_transaction("grids", "writer") == 29
    assert not tables.append("grids", [row(29)], ("writer", 29)), "a replay still finds its transaction"
    again = tables.keep("grids")
    assert (again.files_before, again.files_after) == (1, 1)
    assert grids(tables) == before


def test_what_is_appended_meanwhile_is_there_once(tables: Maintenance) -> None:
    failed: list[Exception] = []

    def write() -> None:
        other = Maintenance(tables._root)
        try:
            for number in range(30, 60):
                other.append("grids", [row(number)], ("writer", number))
        except Exception as error:
            failed.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    rounds = 0
    while writing.is_alive():
        tables.keep("grids")
        rounds += 1
    writing.join()
    assert failed == []
    assert rounds > 1
    assert grids(tables) == sorted(f"g{number}" for number in range(60))


def test_a_table_that_cannot_be_kept_keeps_no_other_from_it(
    tables: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty: dict[str, object] = {"counts": {}, "numeric": {}, "categorical": {}}
    baseline = {"baseline_id": "b", "version": "1", "created_at": NOW, "source": "a test", "model": "m", "grid": "g1"}
    tables.append("baselines", [baseline | empty])
    keep = Maintenance.keep

    def refuse(self: Maintenance, name: str) -> object:
        if name == "baselines":
            raise OutsideError("the storage refuses")
        return keep(self, name)

    monkeypatch.setattr(Maintenance, "keep", refuse)
    done, failed = keep_all(tables, ["baselines", "grids", "alerts"])
    assert [one.table for one in done] == ["grids"]
    assert [str(error) for error in failed] == ["the storage refuses"]


def test_the_job_tells_what_it_did_of_each_table(tables: Maintenance, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--set", f"storage.root={tables._root}"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("grids: files 30 -> 1, log entries ")
