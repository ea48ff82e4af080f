"""The heads of the audit chains leave with every alert, and what left is written down before it leaves."""

import json
from typing import Any

import pytest

from pegel.alerts.delivery.audit_anchors import read_anchors
from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import Backoff
from pegel.errors import OutsideError
from pegel.schemas.audit import read_heads, write_head
from pegel.tables.audit import AuditTrail
from pegel.tables.audit_heads import AuditHeads

WRITERS = ("serve", "webhook", "retrain", "deliver")
SAID = dict.fromkeys(("actor", "action", "subject", "decision", "reason"), "x")


@pytest.fixture
def trails(tables, tmp_path):
    made = {writer: AuditTrail(tables, writer, tmp_path / "spool") for writer in WRITERS}
    yield made
    for trail in made.values():
        trail.close()


def test_heads_follow_the_tables_and_leave_out_who_has_recorded_nothing(tables, trails):
    heads = AuditHeads(tables, WRITERS)
    assert heads.read() == {}
    for number in range(3):
        trails["serve"].record(**SAID, evidence={"n": number})
        assert heads.read() == {"serve": trails["serve"].head()}
    trails["webhook"].record(**SAID, evidence={})
    assert heads.read() == {writer: trails[writer].head() for writer in ("serve", "webhook")}
    assert AuditHeads(tables, WRITERS).read() == heads.read()


def test_azure_monitor_gets_the_heads_and_deliveries_hold_the_same(tables, trails, monitor, sink_settings, row):
    trails["serve"].record(**SAID, evidence={})
    trails["retrain"].record(**SAID, evidence={})
    tables.append("alerts", [row(1)])
    sink = AzureMonitorSink(sink_settings(monitor))
    heads = AuditHeads(tables, WRITERS)
    assert Dispatcher(tables, [sink], Backoff(60, 5), audit_heads=heads.read).step().sent == 1
    sink.close()
    (received,) = monitor.received
    assert read_heads(received.row["audit_heads"]) == heads.read()
    assert received.row["audit_heads"] == json.dumps(
        {writer: write_head(heads.read()[writer]) for writer in ("retrain", "serve")}, separators=(",", ":")
    )
    anchors = read_anchors(tables)
    assert {writer: [(a.sequence, a.hash) for a in found] for writer, found in anchors.items()} == {
        writer: [head] for writer, head in heads.read().items()
    }
    assert row(1)["alert_id"] in anchors["serve"][0].source


def test_each_attempt_carries_the_heads_of_its_moment(tables, trails, row, tmp_path):
    (tmp_path / "folder").mkdir()
    failing = JsonLinesSink(str(tmp_path / "folder"))
    dispatcher = Dispatcher(tables, [failing], Backoff(60, 5), audit_heads=AuditHeads(tables, WRITERS).read)
    tables.append("alerts", [row(1)])
    for _ in range(2):
        trails["serve"].record(**SAID, evidence={})
        dispatcher.step(ignore_backoff=True)
    assert sorted(anchor.sequence for anchor in read_anchors(tables)["serve"]) == [0, 1]


def test_an_audit_table_that_cannot_be_read_keeps_no_alert_back(tables, row, tmp_path):
    def _away() -> Any:
        raise OutsideError("the table cannot be read")

    tables.append("alerts", [row(1)])
    sink = JsonLinesSink(str(tmp_path / "alerts.jsonl"))
    assert Dispatcher(tables, [sink], Backoff(60, 5), audit_heads=_away).step().sent == 1
    assert json.loads((tmp_path / "alerts.jsonl").read_text())["audit_heads"] is None
    assert read_anchors(tables) == {}


def test_an_alert_that_is_given_up_is_a_record(tables, trails, row, tmp_path):
    (tmp_path / "folder").mkdir()
    sink = JsonLinesSink(str(tmp_path / "folder"))
    tables.append("alerts", [row(1)])
    dispatcher = Dispatcher(tables, [sink], Backoff(60, 2), trail=trails["deliver"])
    assert [dispatcher.step(ignore_backoff=True).dead for _ in range(2)] == [0, 1]
    trails["deliver"].close()
    (record,) = tables.read("audit_events_deliver")
    assert (record["decision"], record["subject"]) == ("given up", f"alert {row(1)['alert_id']}")
    assert json.loads(record["evidence"]) == {"attempts": 2, "sink": "jsonl"}
