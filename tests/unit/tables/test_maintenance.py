"""Keeping tables: fewer files, the same rows, and whoever appends meanwhile loses nothing."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pegel.errors import OutsideError
from pegel.jobs.maintain import main
from pegel.tables.delta import DeltaTables
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


class Meanwhile:
    """What others do with the table, each in a thread of its own, until it holds so many rows."""

    def __init__(self, root: str, last: int) -> None:
        self._root, self._last = root, last
        self.failed: list[Exception] = []
        self.done = threading.Event()
        self._threads = [threading.Thread(target=self._try, args=(act,)) for act in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self.failed.append(error)
            self.done.set()

    def _write(self) -> None:
        tables = DeltaTables(self._root)
        for number in range(30, self._last):
            # Some come again, as after a restart.
            for _ in range(1 + (number % 3 == 0)):
                tables.append("grids", [row(number)], ("writer", number))
        self.done.set()

    def _read(self) -> None:
        tables, before = DeltaTables(self._root), 0
        while not self.done.is_set():
            (found,) = tables.read("grids", "SELECT count(*) AS n, count(DISTINCT grid) AS grids FROM t")
            if not found["n"] == found["grids"] >= before:
                raise ValueError(found)
            before = found["n"]


def test_what_is_appended_meanwhile_is_there_once(tables: Maintenance) -> None:
    keep_meanwhile(tables, 60)


@pytest.mark.soak
def test_what_is_appended_in_a_thousand_rounds_meanwhile_is_there_once(tables: Maintenance) -> None:
    keep_meanwhile(tables, 1030)


def keep_meanwhile(tables: Maintenance, last: int) -> None:
    others = Meanwhile(tables.root, last)
    rounds = 0
    while not others.done.is_set():
        tables.keep("grids")
        rounds += 1
    others.join()
    assert others.failed == []
    assert rounds > 1
    assert grids(tables) == sorted(f"g{number}" for number in range(last))


def test_a_reader_that_slept_until_its_files_and_its_log_were_gone_reads_the_same_rows(
    tables: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, slow = DeltaTables(tables.root), DeltaTables(tables.root)
    before = sorted(found["grid"] for found in reader.read("grids"))
    opened = slow._newest("grids")
    let_go_of_all_that_is_old(tables)
    tables.append("grids", [row(30)], ("writer", 30))
    assert sorted(found["grid"] for found in reader.read("grids")) == sorted([*before, "g30"])
    with monkeypatch.context() as amid_a_query:
        amid_a_query.setattr(slow, "_newest", lambda _: opened)
        with pytest.raises(OutsideError, match=r"could not read the table 'grids' under .*; check .* and try again"):
            slow.read("grids")
    assert slow.read("grids") == reader.read("grids")


def let_go_of_all_that_is_old(tables: Maintenance) -> None:
    """As `keep` does once the retentions are over, which are days."""
    log = Path(tables.root, "grids", "_delta_log")
    files = {path.name for path in log.parent.glob("*.parquet")}
    table = DeltaTable(tables.uri("grids"))
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"})
    table.optimize.compact()
    table.create_checkpoint()
    for path in log.iterdir():
        os.utime(path, (0, 0))
    table.cleanup_metadata()
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert not log.joinpath(f"{0:020}.json").exists()
    assert not files & {path.name for path in log.parent.glob("*.parquet")}


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
