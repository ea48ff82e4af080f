"""Whatever the webhook decides is a record of its trail, with its evidence, and nobody gets in where it cannot be."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.retraining.trigger import RetrainQueue
from pegel.alerts.webhook.app import create_app
from pegel.alerts.webhook.call_records import Outcome
from pegel.alerts.webhook.intake import Intake
from pegel.conf.bearer_token import TokenCheck
from pegel.errors import OutsideError
from pegel.local.azure_monitor.rules import FIRED, Transition, common_alert
from pegel.schemas.audit import from_row
from pegel.schemas.audit_verification import Verification

RULES = ("pegel-retrain",)


@pytest.fixture
def decided(tables, trail):
    def _read() -> list[tuple[str, str]]:
        trail.close()
        rows = tables.read("audit_events_webhook", "SELECT * FROM t ORDER BY sequence")
        assert Verification("webhook", []).read(from_row(row) for row in rows).findings == []
        return [(row["action"], row["decision"]) for row in rows]

    return _read


@pytest.fixture
def call(monitor, row):
    def _call(number: int = 1, condition: str = FIRED) -> bytes:
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        dimensions = (("model", "assistant"), ("incident_id", row(number)["incident_id"]))
        rule = monitor._rules[1]
        transition = Transition(moment, rule.name, condition, dimensions, f"/alerts/{number}", moment)
        return json.dumps(common_alert(rule, transition, moment)).encode()

    return _call


def test_a_call_its_copy_its_start_and_a_refusal_are_records_with_their_evidence(tables, trail, decided, call, row):
    tables.append("alerts", [row(1), row(1, "confirmed", 2)])
    intake = Intake(tables, RULES, trail=trail)
    queue = RetrainQueue(intake, lambda _: "run-7", Backoff(60, 1))
    assert intake.accept(call()).outcome is Outcome.STORED
    assert intake.accept(call()).outcome is Outcome.DUPLICATE
    assert intake.accept(call(2)).outcome is Outcome.IGNORED
    queue.step()
    assert decided() == [
        ("webhook.call", "accepted"),
        ("webhook.call", "duplicate"),
        ("webhook.call", "ignored"),
        ("retraining.start", "started"),
    ]
    last = tables.read("audit_events_webhook", "SELECT * FROM t ORDER BY sequence DESC LIMIT 1")[0]
    assert last["subject"] == f"incident {row(1)['incident_id']}"
    assert json.loads(last["evidence"])["run_id"] == "run-7"


def test_a_start_that_is_skipped_or_fails_is_a_record(tables, trail, decided, call, row):
    tables.append("alerts", [row(1), row(1, "confirmed", 2)])
    intake = Intake(tables, RULES, trail=trail)

    def _away(_incident: str) -> str:
        raise OutsideError("the job service is away")

    intake.accept(call())
    RetrainQueue(intake, _away, Backoff(60, 1)).step()
    tables.append("alerts", [row(1, "resolved", 3)])
    RetrainQueue(intake, _away, Backoff(60, 1)).step()
    assert decided()[1:] == [("retraining.start", "failed"), ("retraining.start", "skipped")]


def test_a_call_whose_audit_record_cannot_be_stored_is_not_taken(tables, trail, call, row, monkeypatch):
    tables.append("alerts", [row(1), row(1, "confirmed", 2)])
    intake = Intake(tables, RULES, trail=trail)

    def _away(*_: Any) -> bool:
        raise OutsideError("the storage is away")

    with monkeypatch.context() as broken:
        broken.setattr(trail._tables, "append", _away)
        with pytest.raises(OutsideError):
            intake.accept(call())
    assert intake.waiting == []
    assert tables.read("webhook_calls") == []


def test_whoever_is_not_let_in_is_a_record_without_what_was_sent(tables, trail, decided, monitor, webhook_settings):
    app = create_app(Intake(tables, RULES, trail=trail), TokenCheck(webhook_settings(monitor)), trail=trail)
    good = {"Authorization": f"Bearer {monitor.tokens.issue()}"}
    with TestClient(app) as client:
        assert client.post("/alerts/azure", content=b"{}").status_code == 401
        assert client.post("/alerts/azure", content=b"{}", headers={"Authorization": "Bearer x.y.z"}).status_code == 401
        assert client.post("/alerts/azure", content=b"not JSON", headers=good).status_code == 400
    assert decided() == [("webhook.call", "refused")] * 3
    rows = tables.read("audit_events_webhook", "SELECT * FROM t ORDER BY sequence")
    assert [json.loads(row["evidence"]) for row in rows] == [{"status": 401}, {"status": 401}, {"status": 400}]
    assert not any("x.y.z" in str(row) or "not JSON" in row["evidence"] for row in rows)
