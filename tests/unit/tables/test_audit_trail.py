"""The trail of a writer: in order, once, and on disk before anything else, whatever fails or dies in between."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.errors import ContractError, OutsideError, SettingsError
from pegel.schemas.audit import GENESIS, from_row
from pegel.schemas.audit_verification import Verification
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

TABLE = "audit_events_serve"


def wait_until(ready: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain until {what}")
        threading.Event().wait(0.01)


class FailingTables(DeltaTables):
    """A storage that can be away, hang, or lose its answer after it has committed."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.away = False
        self.refused = 0
        self.lose_answer = False
        self.answers = threading.Event()
        self.answers.set()

    def append(self, name: str, rows: Any, transaction: Any = None) -> bool:
        self.answers.wait(30)
        if self.away:
            self.refused += 1
            raise OutsideError("the storage is away")
        done = super().append(name, rows, transaction)
        if self.lose_answer:
            self.lose_answer = False
            raise OutsideError("the answer was lost")
        return done


@pytest.fixture
def tables(tmp_path: Path) -> FailingTables:
    return FailingTables(str(tmp_path / "tables"))


@pytest.fixture
def open_trail(tables, tmp_path):
    made = []

    def _open(**options: Any) -> AuditTrail:
        made.append(AuditTrail(tables, "serve", tmp_path / "spool", **{"append_seconds": 0.05, **options}))
        return made[-1]

    yield _open
    tables.answers.set()
    for trail in made:
        trail.close()


def said(number: int) -> dict[str, Any]:
    texts = dict.fromkeys(("actor", "action", "subject", "decision"), "x")
    return texts | {"reason": str(number), "evidence": {"n": number}}


def rows(tables: DeltaTables) -> list[dict[str, Any]]:
    return tables.read(TABLE, "SELECT * FROM t ORDER BY sequence")


def reasons(tables: DeltaTables) -> list[str]:
    return [row["reason"] for row in rows(tables)]


def intact(tables: DeltaTables) -> bool:
    return not Verification("serve", []).read(from_row(row) for row in rows(tables)).findings


def die(trail: AuditTrail) -> None:
    """What SIGKILL leaves: the threads are gone, the lock is free, nothing was tidied up."""
    for thread in (trail._writing, trail._storing):
        thread.stop(10)
    trail._buffer.clear()
    if trail._spool is not None:
        trail._spool.close()
    trail._spool = None


def test_what_is_put_gets_into_the_table_in_its_order_and_as_one_chain(open_trail, tables):
    trail = open_trail()
    trail.start()
    for number in range(500):
        trail.put(**said(number))
    wait_until(lambda: len(rows(tables)) == 500, "all are stored")
    assert reasons(tables) == [str(number) for number in range(500)]
    assert intact(tables)
    assert trail.head() == (499, rows(tables)[-1]["hash"])
    assert tables.version(TABLE) < 100  # many records to an append


def test_a_record_is_in_the_table_when_record_returns_with_all_that_came_before(open_trail, tables):
    trail = open_trail()
    trail.put(**said(0))
    trail.record(**said(1))
    assert reasons(tables) == ["0", "1"]
    assert intact(tables)


def test_a_chain_goes_on_after_a_restart(open_trail, tables):
    for number in range(3):
        trail = open_trail()
        assert trail.head()[0] == number - 1
        trail.record(**said(number))
        trail.close()
    assert reasons(tables) == ["0", "1", "2"]
    assert intact(tables)


def test_a_new_trail_has_no_head(open_trail):
    assert open_trail().head() == (-1, GENESIS)


def test_what_is_on_disk_is_stored_by_the_next_process_if_the_storage_was_away(open_trail, tables):
    tables.away = True
    trail = open_trail()
    trail.start()
    for number in range(20):
        trail.put(**said(number))
    wait_until(lambda: trail.head()[0] == 19, "all are on disk")
    die(trail)
    tables.away = False
    assert rows(tables) == []
    successor = open_trail()
    successor.start()
    wait_until(lambda: len(rows(tables)) == 20, "the successor has stored them")
    successor.record(**said(20))
    assert reasons(tables) == [str(number) for number in range(21)]
    assert intact(tables)


def test_a_record_whose_answer_was_lost_is_there_once(open_trail, tables):
    trail = open_trail()
    trail.record(**said(0))
    tables.lose_answer = True
    with pytest.raises(OutsideError, match="answer was lost"):
        trail.record(**said(1))
    trail.record(**said(2))
    assert reasons(tables) == ["0", "1", "2"]
    assert intact(tables)


def test_a_process_that_died_behind_its_commit_leaves_nothing_to_store_twice(open_trail, tables):
    trail = open_trail()
    trail.record(**said(0))
    tables.lose_answer = True
    with pytest.raises(OutsideError):
        trail.record(**said(1))
    die(trail)
    open_trail().record(**said(2))
    assert reasons(tables) == ["0", "1", "2"]
    assert intact(tables)


def test_a_line_that_was_cut_off_was_never_recorded(open_trail, tables, tmp_path):
    tables.away = True
    trail = open_trail()
    with pytest.raises(OutsideError):
        trail.record(**said(0))
    die(trail)
    spool = tmp_path / "spool" / "serve.jsonl"
    whole = spool.read_text()
    spool.write_text(whole + whole[: len(whole) // 2])
    tables.away = False
    open_trail().record(**said(1))
    assert reasons(tables) == ["0", "1"]
    assert intact(tables)


def test_nobody_waits_for_a_storage_that_hangs_and_records_get_on_disk_all_the_same(open_trail, tables):
    trail = open_trail()
    trail.record(**said(0))
    tables.answers.clear()
    trail.start()
    trail.put(**said(1))
    wait_until(lambda: trail.head()[0] == 1, "it is on disk")
    trail.put(**said(2))
    wait_until(lambda: trail.head()[0] == 2, "the next is on disk while the append hangs")
    assert reasons(tables) == ["0"]
    tables.answers.set()
    wait_until(lambda: len(rows(tables)) == 3, "both are stored")
    assert intact(tables)


def test_what_does_not_fit_into_memory_is_counted_and_the_count_is_a_record(open_trail, tables):
    trail = open_trail(max_buffered=10)
    for number in range(25):
        trail.put(**said(number))
    trail.record(**said(99))
    *kept, lost, last = rows(tables)
    assert [row["reason"] for row in kept] == [str(number) for number in range(10)]
    assert (lost["decision"], json.loads(lost["evidence"])) == ("lost", {"decisions": 15})
    assert last["reason"] == "99"
    assert intact(tables)


def test_a_disk_that_refuses_chains_nothing(open_trail, tables, monkeypatch):
    trail = open_trail()
    trail.record(**said(0))

    def _full(_records: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(trail._spool, "append", _full)
        trail.put(**said(1))
        with pytest.raises(OutsideError, match="No space left"):
            trail.record(**said(2))
    trail.record(**said(3))
    assert reasons(tables) == ["0", "1", "3"]
    assert intact(tables)


def test_two_processes_cannot_have_one_writer(open_trail):
    open_trail().start()
    with pytest.raises(SettingsError, match="another process writes the audit table of 'serve'"):
        open_trail().start()


def test_a_writer_has_a_name_that_may_stand_in_a_path(tables, tmp_path):
    for name in ("", "Serve", "a/b", "../x", "a" * 41, "1a"):
        with pytest.raises(ContractError, match="no name of an audit writer"):
            AuditTrail(tables, name, tmp_path)


def test_evidence_that_cannot_be_written_leaves_a_record_that_says_so(open_trail, tables):
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    trail = open_trail()
    trail.put(**said(0) | {"evidence": {"odd": Odd()}})
    trail.record(**said(1))
    assert reasons(tables) == ["0", "1"]
    assert json.loads(rows(tables)[0]["evidence"]) == {"evidence": "could not be written down"}


def test_a_table_that_was_cut_off_while_no_process_ran_shows_the_gap(open_trail, tables):
    from deltalake import DeltaTable

    trail = open_trail()
    for number in range(5):
        trail.record(**said(number))
    trail.close()
    DeltaTable(tables.uri(TABLE)).delete("sequence >= 2")
    open_trail().record(**said(5))
    found = Verification("serve", []).read(from_row(row) for row in rows(tables)).findings
    assert "records 2 to 3 are missing: they were deleted, or never reached the table" in found


def test_many_small_files_become_few_and_no_record_changes(open_trail, tables):
    from deltalake import DeltaTable

    trail = open_trail(compact_after=20)
    for number in range(45):
        trail.record(**said(number))
    assert len(DeltaTable(tables.uri(TABLE)).file_uris()) <= 7
    assert reasons(tables) == [str(number) for number in range(45)]
    assert intact(tables)
    trail.record(**said(45))
    assert intact(tables)


def test_a_storage_that_is_back_gets_what_waits_without_a_new_decision(open_trail, tables):
    tables.away = True
    trail = open_trail()
    trail.start()
    trail.put(**said(0))
    wait_until(lambda: tables.refused > 0, "the storage was asked")
    tables.away = False
    wait_until(lambda: reasons(tables) == ["0"], "it is stored")


STEPS = ("put", "record", "away", "back", "lose an answer", "die", "restart")


@settings(max_examples=20)
@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_whatever_fails_or_dies_in_whatever_order_what_was_recorded_is_there_once_and_in_order(steps):
    with TemporaryDirectory() as folder:
        tables = FailingTables(f"{folder}/tables")
        trail = AuditTrail(tables, "serve", Path(folder) / "spool")
        promised: list[str] = []
        for number, step in enumerate(steps):
            if step == "put":
                trail.put(**said(number))
            elif step == "record":
                # What is on disk is promised, whether or not the table has it yet.
                before = trail.head()
                with suppress(OutsideError):
                    trail.record(**said(number))
                if trail.head() != before:
                    promised.append(str(number))
            elif step == "lose an answer":
                tables.lose_answer = True
            elif step in ("away", "back"):
                tables.away = step == "away"
            else:
                die(trail) if step == "die" else trail.close()
                trail = AuditTrail(tables, "serve", Path(folder) / "spool")
        tables.away = tables.lose_answer = False
        trail.close()
        trail = AuditTrail(tables, "serve", Path(folder) / "spool")
        trail.record(**said(99))
        trail.close()
        assert intact(tables)
        stored = reasons(tables)
        assert len(set(stored)) == len(stored)
        assert [reason for reason in stored if reason in promised] == promised
        assert stored[-1] == "99"


def test_records_that_another_writer_has_overtaken_are_not_lost(open_trail, tables, tmp_path):
    trail = open_trail()
    trail.record(**said(0))
    # The same writer's name on another machine, where no lock is in the way.
    other = AuditTrail(DeltaTables(tables.uri(TABLE).rsplit("/", 1)[0]), "serve", tmp_path / "elsewhere")
    other.record(**said(1))
    other.close()
    trail.record(**said(2))
    assert sorted(reasons(tables)) == ["0", "1", "2"]
    assert not intact(tables)
