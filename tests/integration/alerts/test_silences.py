"""``pegel silence`` and ``pegel ack`` over the real door: alerts are decided and recorded, and for a time not sent."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.explanation import explain
from pegel.alerts.webhook.app import create_app
from pegel.alerts.webhook.entra_caller import ActionGroupCheck
from pegel.alerts.webhook.intake import Intake
from pegel.alerts.webhook.signed_caller import SignedCallerCheck
from pegel.alerts.webhook.silencing import Silencing
from pegel.conf.secret_ref import SecretRef
from pegel.errors import OutsideError, SettingsError
from pegel.jobs import ack, silence
from pegel.jobs.explain import read_story

APPROVER = "whsec_" + "B" * 44
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def person(monitor, webhook_settings, webhook_server, tables, trail, clock, monkeypatch):
    """Runs a command of a person against the served webhook, by the clock of the test."""
    monkeypatch.setenv("TEST_APPROVER_SECRET", APPROVER)
    webhook_server.serve(
        create_app(
            Intake(tables, ()),
            ActionGroupCheck(webhook_settings(monitor)),
            approvers=SignedCallerCheck((SecretRef(env="TEST_APPROVER_SECRET"),)),
            trail=trail,
            silencing=Silencing(tables, trail, clock),
        )
    )

    def _person(job, *argv: str, secret: str = "TEST_APPROVER_SECRET") -> int:
        secrets = f"webhook.approver_secrets=[{{env: {secret}}}]"
        return job.main([*argv, "--by", "Ada", "--url", webhook_server.url, "--set", secrets])

    return _person


@pytest.fixture
def deliver(monitor, sink_settings, tables, clock):
    """One step of a dispatcher that knows only what the tables say, and what Azure Monitor got by it."""

    def _deliver(hours: float) -> list[str]:
        clock.now = NOON + timedelta(hours=hours)
        before = len(monitor.received)
        Dispatcher(tables, [AzureMonitorSink(sink_settings(monitor))], Backoff(60, 50), clock).step()
        return [f"{r.row['model']} {r.row['state']}" for r in monitor.received[before:]]

    return _deliver


def test_silenced_alerts_are_recorded_not_sent_and_told_afterwards_if_still_open(
    person, deliver, tables, row, trail, capsys
):
    assert person(silence, "assistant", "--rule", "drift", "--for", "2h", "--reason", "load test") == 0
    name = re.match(r"silence ([0-9a-f]{16}) until 2026-03-01 14:00:00 UTC by Ada\n", capsys.readouterr().out)[1]
    over = [row(1, state, n) for n, state in ((1, "opened"), (2, "confirmed"), (3, "resolved"))]
    tables.append("alerts", [*over, row(2), row(3, rule="errors"), row(4, model="sorter")])
    assert deliver(1) == ["assistant opened", "sorter opened"], "another rule and another model are not silenced"
    assert deliver(1.5) == []
    # What is over was told to nobody, and need not be; what is open is.
    assert deliver(2.01) == ["assistant opened"]
    assert deliver(3) == []
    rows = tables.read("deliveries")
    sent = {r["alert_id"] for r in rows if r["state"] == "sent"}
    withheld = {r["alert_id"]: r["detail"] for r in rows if r["state"] == "withheld"}
    assert sent == {row(n)["alert_id"] for n in (2, 3, 4)}
    assert set(withheld) == {row(2)["alert_id"], *(r["alert_id"] for r in over)}
    assert set(withheld.values()) == {f"silenced by Ada until 2026-03-01 14:00:00 UTC ({name}): load test"}
    story = explain(read_story(tables, row(1)["incident_id"]))
    assert f"azure_monitor: opened withheld, silenced by Ada until 2026-03-01 14:00:00 UTC ({name})" in story
    trail.close()
    [record] = tables.read("audit_events_webhook")
    assert (record["action"], record["decision"], record["subject"]) == ("alert.silence", "taken", f"silence {name}")


def test_silence_that_is_ended_lets_alerts_go_at_once(person, deliver, tables, row, capsys):
    person(silence, "*", "--for", "7d", "--reason", "holidays")
    name = re.match(r"silence ([0-9a-f]{16})", capsys.readouterr().out)[1]
    tables.append("alerts", [row(1)])
    assert deliver(1) == []
    assert person(silence, "--end", name) == 0
    assert deliver(1.1) == ["assistant opened"]
    with pytest.raises(OutsideError, match=r"409 to the wish to end .*no silence of this name lasts"):
        person(silence, "--end", "0" * 16)


def test_end_of_an_incident_is_sent_to_who_was_told_of_it_silence_or_not(person, deliver, tables, row):
    tables.append("alerts", [row(1)])
    assert deliver(0) == ["assistant opened"]
    person(silence, "*", "--for", "1d", "--reason", "night")
    tables.append("alerts", [row(1, "confirmed", 2)])
    assert deliver(1) == []
    assert deliver(6) == [], "nor is it repeated"
    tables.append("alerts", [row(1, "resolved", 3)])
    assert deliver(7) == ["assistant resolved"]


def test_acknowledged_incident_is_sent_like_any_other_and_its_story_says_who_looks_after_it(
    person, deliver, tables, row, capsys
):
    tables.append("alerts", [row(1), row(2, model="sorter")])
    assert deliver(0) == ["assistant opened", "sorter opened"]
    incident = row(1)["incident_id"]
    assert person(ack, incident, "--reason", "rolling back") == 0
    assert capsys.readouterr().out == f"incident {incident}: acknowledged by Ada\n"
    assert deliver(4.01) == ["assistant opened", "sorter opened"]
    tables.append("alerts", [row(1, "confirmed", 2)])
    assert deliver(5) == ["assistant confirmed"]
    assert deliver(12) == ["assistant confirmed", "sorter opened"]
    assert "acknowledged by Ada: rolling back" in explain(read_story(tables, incident))
    # A second time changes nothing; an incident that is over, or unknown, has nobody to be told.
    person(ack, incident)
    assert len(tables.read("silences")) == 1
    tables.append("alerts", [row(2, "retracted", 2, model="sorter")])
    for name, says in ((row(2)["incident_id"], "is retracted"), ("nobody", "no incident of this id")):
        with pytest.raises(OutsideError, match=f"409 to the wish to acknowledge {name}: .*{says}"):
            person(ack, name)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["assistant", "--for", "2h"], "for which --reason"),
        (["assistant", "--for", "soon", "--reason", "x"], "'soon' is no time"),
    ],
)
def test_silence_that_cannot_be_meant_is_not_sent(person, tables, argv, says):
    with pytest.raises(SettingsError, match=says):
        person(silence, *argv)
    assert not tables.exists("silences")


def test_webhook_takes_no_silence_longer_than_a_month_nor_from_who_only_sends(person, tables):
    with pytest.raises(OutsideError, match=r"400 .*data.seconds is no number from 60 to 2592000"):
        person(silence, "*", "--for", "31d", "--reason", "x")
    with pytest.raises(OutsideError, match=r"401 .*the call is not let in"):
        person(silence, "*", "--for", "1d", "--reason", "x", secret="TEST_WEBHOOK_SECRET")
    assert not tables.exists("silences")
