"""``pegel audit verify`` on real tables that somebody changed with the tools that anybody has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import Backoff
from pegel.conf.audit_settings import AuditSettings
from pegel.errors import OutsideError
from pegel.jobs.audit import main
from pegel.schemas.audit import GENESIS, chain, from_row, to_row
from pegel.tables.audit import AuditTrail
from pegel.tables.audit_heads import AuditHeads
from pegel.tables.delta import DeltaTables

TABLE = "audit_events_serve"
RECORDS, ANCHORED = 12, 8
"""Records in the table; the alert left when this many were there."""


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables(str(tmp_path / "tables"))


@pytest.fixture
def verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str]]:
    def _verify() -> tuple[int, str]:
        capsys.readouterr()
        code = main(["verify", "--without-mlflow", "--set", f"storage.root={tmp_path}/tables"])
        return code, capsys.readouterr().out

    return _verify


@pytest.fixture(autouse=True)
def _written(tables: DeltaTables, tmp_path: Path) -> None:
    """Twelve records in three appends, and an alert that left after the eighth."""
    trail = AuditTrail(tables, "serve", tmp_path / "tables" / "_audit")
    for number in range(RECORDS):
        said = dict.fromkeys(("actor", "action", "subject", "reason"), f"text {number}")
        trail.put(**said, decision="refused" if number == 5 else "allowed", evidence={"n": number})
        if number + 1 in (4, ANCHORED):
            trail.record(**said, decision="allowed", evidence={})
        if number + 1 == ANCHORED:
            alert = dict.fromkeys(("incident_id", "state", "rule", "model", "version", "segment", "column"), "x")
            alert |= dict.fromkeys(("action", "title", "message", "runbook", "policy_hash", "code_version"), "x")
            numbers = dict.fromkeys(("sequence", "batch_id", "severity", "first_batch_id", "last_batch_id"), 1)
            at = tables.read(TABLE)[0]["at"]
            rest = {"alert_id": "alert-1", "columns": [], "windows": [], "decided_time": at}
            tables.append("alerts", [{**alert, **numbers, **rest}])
            sink = JsonLinesSink(str(tmp_path / "alerts.jsonl"))
            Dispatcher(tables, [sink], Backoff(60, 5), audit_heads=AuditHeads(tables, ["serve"]).read).step()
    trail.close()


def rewrite(tables: DeltaTables, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Read all rows, change them, and write the table anew."""
    table = DeltaTable(tables.uri(TABLE))
    rows = sorted(table.to_pyarrow_table().to_pylist(), key=lambda row: row["sequence"])
    schema = table.to_pyarrow_table().schema
    write_deltalake(table, pa.Table.from_pylist(change(rows), schema=schema), mode="overwrite")


def written_anew(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [to_row(record) for record in chain("serve", (-1, GENESIS), [from_row(row).decided for row in rows])]


def test_tables_that_nobody_touched_are_intact(verify):
    code, said = verify()
    assert code == 0
    lines = said.splitlines()
    assert lines[0].startswith("audit_events_serve: intact, 14 records, 1 anchors; changes in the last 4 records")
    others = AuditSettings().writers[1:]
    assert lines[1:] == [f"audit_events_{writer}: intact, 0 records, 0 anchors" for writer in others]


def test_a_compacted_table_is_intact(verify, tables):
    DeltaTable(tables.uri(TABLE)).optimize.compact()
    assert verify()[0] == 0


def test_a_row_that_was_updated_is_found(verify, tables):
    DeltaTable(tables.uri(TABLE)).update({"decision": "'allowed'"}, predicate="decision = 'refused'")
    code, said = verify()
    assert code == 1
    assert "audit_events_serve: record 6 was edited or moved" in said


def test_a_row_that_was_deleted_is_found(verify, tables):
    DeltaTable(tables.uri(TABLE)).delete("decision = 'refused'")
    code, said = verify()
    assert code == 1
    assert "record 6 is missing" in said


def test_rows_that_changed_places_are_found(verify, tables):
    def swap(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[2]["sequence"], rows[6]["sequence"] = 6, 2
        return rows

    rewrite(tables, swap)
    code, said = verify()
    assert code == 1
    assert "record 2 was edited or moved" in said
    assert "record 6 was edited or moved" in said


def test_a_chain_that_was_written_anew_without_a_row_is_found_by_what_left_with_an_alert(verify, tables):
    rewrite(tables, lambda rows: written_anew([row for row in rows if row["decision"] != "refused"]))
    code, said = verify()
    assert code == 1
    (finding,) = [line for line in said.splitlines() if "serve" in line][1:]
    assert "record 9 is not the one whose hash was kept in the alert alert-1" in finding


def test_a_table_that_was_cut_off_before_an_anchor_is_found(verify, tables):
    DeltaTable(tables.uri(TABLE)).delete("sequence >= 7")
    code, said = verify()
    assert code == 1
    assert "record 9 is gone, but its hash was kept in the alert alert-1 (attempt 1 to jsonl)" in said


def test_a_table_that_was_cut_off_behind_the_last_anchor_is_not_found(verify, tables):
    DeltaTable(tables.uri(TABLE)).delete("sequence >= 10")
    assert verify()[0] == 0


def test_tables_are_not_called_intact_while_mlflow_cannot_be_asked(tmp_path, capsys):
    arguments = ["--set", f"storage.root={tmp_path}/tables", "--set", "mlflow.tracking_uri=http://127.0.0.1:9"]
    with pytest.raises(OutsideError, match="the anchors of the audit chains"):
        main(["verify", *arguments])
    assert "intact" not in capsys.readouterr().out


def test_a_chain_that_was_written_anew_is_found_by_a_tag_in_mlflow(tables, tmp_path, capsys):
    from pegel.jobs.deliver import main as deliver

    arguments = ["--set", f"storage.root={tmp_path}/tables", "--set", f"mlflow.tracking_uri=sqlite:///{tmp_path}/m.db"]
    arguments += ["--set", "delivery.sinks=[jsonl]", "--set", f"delivery.jsonl_path={tmp_path}/alerts.jsonl"]
    assert deliver([*arguments, "--available-now"]) == 0
    assert main(["verify", *arguments]) == 0
    # Nothing waits for an alert here: the tag holds the whole chain, the records behind the alert's anchor too.
    rewrite(tables, lambda rows: written_anew(rows[:-1]))
    capsys.readouterr()
    assert main(["verify", *arguments]) == 1
    assert "pegel.audit.serve" in capsys.readouterr().out
