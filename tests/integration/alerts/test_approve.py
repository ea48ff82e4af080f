"""`pegel approve` over the real door: only who has an approver's secret lets a proposed retraining start."""

import json
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from pegel.alerts.standard_webhooks import decode_secret, signed_headers
from pegel.alerts.webhook.app import create_app
from pegel.alerts.webhook.entra_caller import ActionGroupCheck
from pegel.alerts.webhook.intake import Intake
from pegel.alerts.webhook.signed_caller import SignedCallerCheck
from pegel.conf.secret_ref import SecretRef
from pegel.errors import OutsideError, SettingsError
from pegel.jobs.approve import main

SENDER, APPROVER = "whsec_" + "A" * 44, "whsec_" + "B" * 44


@pytest.fixture
def app(monitor, webhook_settings, tables, row, trail, monkeypatch):
    monkeypatch.setenv("TEST_APPROVER_SECRET", APPROVER)
    tables.append("alerts", [row(1), row(1, "confirmed", 2)])
    return create_app(
        Intake(tables, ("pegel-retrain",), mode="propose", trail=trail),
        ActionGroupCheck(webhook_settings(monitor)),
        signatures=SignedCallerCheck((SecretRef(env="TEST_WEBHOOK_SECRET"),)),
        approvers=SignedCallerCheck((SecretRef(env="TEST_APPROVER_SECRET"),)),
    )


@pytest.fixture
def approve(app, webhook_server, row):
    webhook_server.serve(app)

    def _approve(incident: str = row(1)["incident_id"], secret: str = "TEST_APPROVER_SECRET", url: str = "") -> int:
        secrets = f"webhook.approver_secrets=[{{env: {secret}}}]"
        return main([incident, "--by", "Ada", "--url", url or webhook_server.url, "--set", secrets])

    return _approve


def outcomes(tables) -> list[tuple[str, str]]:
    return [(r["outcome"], r["detail"]) for r in sorted(tables.read("webhook_calls"), key=lambda r: r["received_at"])]


def test_person_approves_and_both_tables_say_who(approve, tables, trail, capsys, row):
    assert approve() == 0
    assert capsys.readouterr().out == f"incident {row(1)['incident_id']}: approved by Ada\n"
    assert outcomes(tables) == [("stored", "approved by Ada")]
    trail.close()
    [record] = tables.read("audit_events_webhook")
    assert (record["action"], record["decision"], record["reason"]) == (
        "retraining.approve", "approved", "approved by Ada",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"incident": "nobody"}, "answered 409 to the approval of nobody: no incident of this id"),
        ({"secret": "TEST_WEBHOOK_SECRET"}, "answered 401 to the approval of .*: the call is not let in"),
        ({"url": "http://127.0.0.1:9"}, "could not be reached"),
    ],
)
def test_approval_that_is_not_taken_says_so(approve, tables, change, says):
    with pytest.raises(OutsideError, match=says):
        approve(**change)
    assert outcomes(tables) == []


@pytest.mark.parametrize("url", ["http://hooks.example", "ftp://127.0.0.1", "hooks.example"])
def test_approval_goes_over_no_open_line(approve, url):
    with pytest.raises(SettingsError, match="https"):
        approve(url=url)


def test_without_an_approvers_secret_nothing_is_sent():
    with pytest.raises(SettingsError, match="approver_secrets is empty"):
        main(["i1"])


def test_secret_of_a_sender_approves_nothing_and_that_of_an_approver_sends_nothing(app, tables, row):
    client = TestClient(app)
    approval = {"type": "pegel.approval", "data": {"incident_id": row(1)["incident_id"], "by": "Eve"}}
    body = json.dumps(approval).encode()

    def _post(path: str, secret: str) -> int:
        headers = signed_headers([decode_secret(secret, "test")], "m", datetime.now(UTC), body)
        return client.post(path, content=body, headers=headers).status_code

    assert _post("/approvals", SENDER) == 401
    assert _post("/alerts/signed", APPROVER) == 401
    assert client.post("/approvals", content=body).status_code == 401
    assert outcomes(tables) == []
    assert _post("/approvals", APPROVER) == 202
