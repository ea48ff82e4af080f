"""Erasures: what goes, what stays, and what a fault at each step leaves."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pegel.errors import OutsideError, SettingsError
from pegel.schemas.audit import decide
from pegel.schemas.erasures import ERASABLE, ErasureRequest, Subject, digest_of, parse_subject, read_request
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import erased_counts, erased_of_batch
from pegel.tables.erasure import PROVEN, ROWS, WRITER, Erasure, file_request, filed_requests, is_half_written, recorded
from pegel.tables.erasure_search import find_rows, remains
from pegel.tables.owned import OwnedTables

START = datetime(2026, 11, 25, 3, 0, 0, 123456, tzinfo=UTC)
CANARY = "canary-7f3a"
REQUEST = ErasureRequest("erasureid", (Subject("segments", "user", CANARY),), "root", "a ticket", START)
GOES = {"predictions": 2, "feedback": 2, "dead_letters": 2}


def fill(tables: DeltaTables) -> None:
    """Two micro-batches, each with events of one person and of others."""
    for batch_id in (4, 5):
        base = {"batch_id": batch_id, "hub": "it's", "enqueued_time": START}
        mine = {"event_id": f"mine-{batch_id}", "event_time": START, "model": "m", "version": "1", "partition": "0"}
        mine |= {"segments": {"user": CANARY}, "input": f"I am {CANARY}", "output": CANARY, "offset": batch_id}
        theirs = mine | {"event_id": f"theirs-{batch_id}", "segments": {"user": "b"}, "offset": 100 + batch_id}
        theirs |= {"input": "I am not", "output": None}
        tables.append("predictions", [base | row for row in (mine, theirs)])
        about = {"prediction_time": START, "feedback_time": START, "kind": "label", "partition": "1"}
        feedback = [
            about | {"feedback_id": f"f{i}-{batch_id}", "event_id": row["event_id"], "label": label, "offset": i}
            for i, (row, label) in enumerate([(mine, CANARY), (theirs, "x")])
        ]
        tables.append("feedback", [base | row for row in feedback])
        bodies = [f'{{"user": "{CANARY}"', f"{CANARY}9 is another", "nothing"]
        letters = [{"offset": i, "partition": "2", "body": body} for i, body in enumerate(bodies)]
        tables.append("dead_letters", [base | {"reason": "bad_value", "sha256": "0" * 64} | row for row in letters])
        counts = dict.fromkeys(("received", "stored", "dead_letters", "duplicates"), 0)
        marks = {"query_id": "q", "batch_id": batch_id, "generation": 0, "offsets": [], "in_partials": 0}
        tables.append("batches", [marks | counts | {f"feedback_{name}": 0 for name in counts}])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "tables"
    fill(DeltaTables(str(root)))
    # What a process that was killed had begun to write belongs to no version of the table.
    written = next((root / "predictions").glob("*.parquet"))
    shutil.copy(written, root / "predictions" / "part-00000-orphan.snappy.parquet")
    return root


def carry_out(tables: OwnedTables, request: ErasureRequest = REQUEST) -> dict[str, int]:
    trail = AuditTrail(tables, WRITER, Path(tables.uri("predictions")).parent / "_audit")
    trail.start()
    try:
        return dict(Erasure(tables, trail.record).carry_out(request).rows)
    finally:
        trail.close()


def canaries(root: Path) -> list[str]:
    """Every file that holds the canary, as bytes or in Parquet; another person, who only begins so, does not count."""
    found = []
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += str(pq.read_table(path).to_pylist()).encode()
            if content.count(CANARY.encode()) > content.count(f"{CANARY}9".encode()):
                found.append(str(path))
    return found


def contents(tables: DeltaTables) -> dict[str, list[str]]:
    return {name: sorted(map(repr, tables.read(name))) for name in (*ERASABLE, "batches")}


def said(tables: DeltaTables) -> Counter[tuple[str, int]]:
    counts: Counter[tuple[str, int]] = Counter()
    for one in recorded(tables, ROWS):
        counts.update({(one["table_name"], batch_id): n for batch_id, n in one["batches"]})
    return counts


def test_all_rows_of_the_subject_go_with_their_bytes_and_all_others_stay(root: Path) -> None:
    tables = OwnedTables(str(root))
    before = contents(tables)
    assert len(canaries(root)) >= 6
    file_request(tables, REQUEST)
    assert carry_out(tables, *filed_requests(tables)) == GOES
    assert canaries(root) == []
    after = contents(tables)
    for name, rows in before.items():
        assert set(after[name]) <= set(rows)
        assert len(rows) - len(after[name]) == GOES.get(name, 0)
    assert filed_requests(tables) == []
    assert erased_counts(tables, "it's")["feedback_dead_letters"] == {4: 1, 5: 1}
    assert erased_of_batch(tables, "feedback", 5) == 1
    assert said(tables) == {(table, batch_id): 1 for table in ERASABLE for batch_id in (4, 5)}


def test_readers_and_transactions_of_before_go_on_behind_an_erasure(root: Path) -> None:
    tables, reader = OwnedTables(str(root)), DeltaTables(str(root))
    late = tables.read("predictions")[1] | {"event_id": "late", "batch_id": 6}
    assert tables.append("predictions", [late], ("q", 6))
    assert len(reader.read("predictions")) == 5
    carry_out(tables)
    assert {row["event_id"] for row in reader.read("predictions")} == {"theirs-4", "theirs-5", "late"}
    assert reader.last_transaction("predictions", "q") == 6
    assert not tables.append("predictions", [late], ("q", 6))
    assert tables.append("predictions", [late | {"batch_id": 7}], ("q", 7))
    assert len(reader.read("predictions")) == 4


class Faulty(OwnedTables):
    """Fails once, before its n-th change is made; the failure after one is the failure before the next."""

    def __init__(self, root: str, at: int) -> None:
        super().__init__(root)
        self.changes, self._at = 0, at
        self._logs: set[str] = set()

    def append(self, name: str, rows: Any, transaction: Any = None) -> bool:
        self._change()
        return super().append(name, rows, transaction)

    def delete(self, name: str, places: Any) -> int:
        self._change()
        return super().delete(name, places)

    def forget(self, name: str) -> None:
        self._change()
        super().forget(name)

    def delete_file(self, path: str) -> None:
        # The first file of each log, and the request.
        if path.rpartition("/")[0] not in self._logs:
            self._logs.add(path.rpartition("/")[0])
            super().delete_file(path)
            self._change()
        else:
            super().delete_file(path)

    def _change(self) -> None:
        self.changes += 1
        if self.changes == self._at:
            raise OutsideError("a fault")


def test_an_erasure_that_was_cut_off_at_any_change_is_completed_by_beginning_again(root: Path, tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(root, undisturbed)
    reference = Faulty(str(undisturbed), 0)
    file_request(reference, REQUEST)
    carry_out(reference)
    assert reference.changes > 12
    cut_off = 0
    for at in range(1, reference.changes + 1):
        once = tmp_path / f"fault-{at}"
        shutil.copytree(root, once)
        faulty = Faulty(str(once), at)
        file_request(faulty, REQUEST)
        try:
            carry_out(faulty)
        except OutsideError:
            cut_off += 1
        tables = OwnedTables(str(once))
        for request in filed_requests(tables):
            carry_out(tables, request)
        assert canaries(once) == []
        assert filed_requests(tables) == []
        assert contents(tables) == contents(reference)
        assert said(tables) == said(reference)
        assert erased_counts(tables, "f") == erased_counts(reference, "f")
        assert len(list(recorded(tables, PROVEN))) == 1
        shutil.rmtree(once)
    # A record whose append fails is on disk and is stored later; all else cuts an erasure off.
    assert cut_off >= reference.changes - 4


def test_the_proof_finds_rows_in_files_that_the_table_has_let_go(root: Path) -> None:
    tables = OwnedTables(str(root))
    found = find_rows(tables, REQUEST.subjects)
    places = {name: {row.place for row in found if row.table == name} for name in ERASABLE}
    for name in ERASABLE:
        assert tables.delete(name, places[name]) == 2
        assert tables.delete(name, places[name]) == 0
    left = remains(tables, places, REQUEST.subjects)
    assert {path.partition("/")[0] for path in left} == set(ERASABLE)
    for name in ERASABLE:
        tables.forget(name)
    assert remains(tables, places, REQUEST.subjects) == []


def test_an_erasure_that_cannot_be_proven_stays_filed(root: Path) -> None:
    tables = OwnedTables(str(root))
    file_request(tables, REQUEST)
    copy = root / "predictions" / "_kept_by_somebody"
    copy.mkdir()
    for path in (root / "predictions").glob("*.parquet"):
        shutil.copy(path, copy)
    with pytest.raises(OutsideError, match="is not complete: 3 files still hold"):
        carry_out(tables)
    assert [request.erasure_id for request in filed_requests(tables)] == ["erasureid"]
    shutil.rmtree(copy)
    assert carry_out(tables) == GOES


def test_a_table_of_an_older_version_loses_what_its_log_says_too(tmp_path: Path) -> None:
    tables = OwnedTables(str(tmp_path))
    fill(tables)
    opened = tables._opened("feedback")
    opened.alter.set_table_properties({"delta.dataSkippingStatsColumns": "label,batch_id"})
    rows = tables.read("feedback")
    tables.append("feedback", [row | {"feedback_id": "again"} for row in rows])
    log = "".join(path.read_text() for path in (tmp_path / "feedback" / "_delta_log").glob("*.json"))
    assert CANARY in log
    carry_out(tables)
    assert canaries(tmp_path) == []


@pytest.mark.parametrize(
    "subject", ["event_id=mine-4", "trace_id=t", "source=s", "features.f=v", "extra.user=alice", "segments.user=a=b"]
)
def test_a_subject_is_read_as_it_is_written(subject: str) -> None:
    request = ErasureRequest("i", (parse_subject(subject),), "root", "why", START)
    assert str(request.subjects[0]) == subject
    assert read_request(json.loads(request.to_json())) == request


@pytest.mark.parametrize(
    "subject", ["", "mine", "user=alice", "segments=alice", "event_id=", "event_id.x=1", "input=a"]
)
def test_what_names_no_field_or_no_value_is_refused_without_repeating_it(subject: str) -> None:
    with pytest.raises(SettingsError, match="must be FIELD=VALUE") as refused:
        parse_subject(subject)
    assert "alice" not in str(refused.value)


def test_an_id_means_its_prediction_and_the_feedback_about_it_and_no_other(root: Path) -> None:
    found = find_rows(OwnedTables(str(root)), [Subject("event_id", "", "theirs-5")])
    assert {(row.table, row.place[0], row.place[3]) for row in found} == {("predictions", 5, 105), ("feedback", 5, 1)}


def test_no_erasure_begins_while_a_micro_batch_is_half_written(root: Path) -> None:
    tables = OwnedTables(str(root))
    assert not is_half_written(tables)
    tables.append("feedback", [tables.read("feedback")[0] | {"batch_id": 6}])
    assert is_half_written(tables)


def test_what_the_audit_trail_says_of_an_erasure_survives_its_masking() -> None:
    evidence = {"table_name": "predictions", "batches": [[1_000_000_005, 3], [4_111_111_111_111_111, 1]]}
    decided = decide(
        at=START, actor="root", action=ROWS, subject="hgfedcbaabcdefgh" * 2, decision="erased", reason="r",
        evidence=evidence,
    )  # fmt: skip
    assert decided.subject == "hgfedcbaabcdefgh" * 2
    assert json.loads(decided.evidence) == evidence


def test_a_digest_tells_the_same_event_of_the_same_erasure_only() -> None:
    digest = digest_of("a", "e", START)
    assert digest_of("a", "e", START) == digest
    assert digest not in {
        digest_of("b", "e", START), digest_of("a", "f", START), digest_of("a", "e", START.replace(microsecond=123457))
    }  # fmt: skip
