"""An incident that stays open for days stays one alert of Azure Monitor, whose rules look back two days at most."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.delivery.sink import DeliveryError
from pegel.conf.loading import packaged
from pegel.local.azure_monitor.kql import compile_query
from pegel.local.azure_monitor.local_azure_monitor import stored_row
from pegel.local.azure_monitor.rules import FIRED, RESOLVED, AlertRule
from pegel.schemas.alert_stream import COLUMNS, TABLE, to_stream_row

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def alert(state: str, sequence: int, decided: datetime = START, incident: str = "i") -> dict[str, Any]:
    return {
        "alert_id": f"{incident}{sequence}", "incident_id": incident, "sequence": sequence, "batch_id": sequence,
        "state": state, "action": "retrain", "model": "assistant", "decided_time": decided,
    }  # fmt: skip


class MemoryTables:
    def __init__(self, *alerts: dict[str, Any]) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {
            "alerts": list(alerts),
            "pipeline_alerts": [],
            "silences": [],
            "deliveries": [],
        }

    def version(self, name: str) -> int:
        return len(self.rows[name])

    def read(self, name: str, _sql: str = "") -> list[dict[str, Any]]:
        return list(self.rows[name])

    def append(self, name: str, rows: list[dict[str, Any]]) -> bool:
        self.rows[name] += rows
        return True


class Workspace:
    """A sink that keeps rows as Azure Monitor does, and one rule that looks at them."""

    name = "workspace"

    def __init__(self, clock: "Clock", *, forgets: bool = True) -> None:
        self.forgets = forgets
        self.rows: list[dict[str, Any]] = []
        self.away = False
        self._clock = clock
        text = packaged("azure/alert-retrain.kql")
        query = compile_query(text, {TABLE: [*COLUMNS]})
        self.rule = AlertRule("pegel-retrain", query, text, 2, ("model", "incident_id"))

    def chunks(self, alerts):
        yield from ([alert] for alert in alerts)

    def send(self, alerts) -> str:
        if self.away:
            raise DeliveryError("503")
        self.rows += [stored_row(to_stream_row(alert), self._clock.now) for alert in alerts]
        return "204"

    def look(self) -> list[str]:
        return [transition.condition for transition in self.rule.evaluate(self.rows, self._clock.now)]


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def pass_hours(dispatcher: Dispatcher, workspace: Workspace, clock: Clock, hours: int) -> list[str]:
    heard = []
    for _ in range(hours):
        dispatcher.step()
        heard += workspace.look()
        clock.now += HOUR
    return heard


@pytest.fixture
def clock():
    return Clock()


def test_incident_open_for_five_days_fires_once_and_resolves_only_when_it_is_over(clock):
    tables, workspace = MemoryTables(alert("opened", 1), alert("confirmed", 2)), Workspace(clock)
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 500), clock)
    assert pass_hours(dispatcher, workspace, clock, 5 * 24) == [FIRED]
    tables.rows["alerts"].append(alert("resolved", 3, clock.now))
    assert pass_hours(dispatcher, workspace, clock, 5 * 24) == [RESOLVED]


def test_acknowledged_incident_open_for_five_days_is_neither_told_to_be_over_nor_told_again(clock):
    tables, workspace = MemoryTables(alert("opened", 1), alert("confirmed", 2)), Workspace(clock)
    acknowledged = {"silence_id": "s", "wish": "acknowledge", "incident_id": "i", "by": "Ada", "at": START}
    tables.rows["silences"].append(acknowledged)
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 500), clock)
    assert pass_hours(dispatcher, workspace, clock, 5 * 24) == [FIRED]
    tables.rows["alerts"].append(alert("resolved", 3, clock.now))
    assert pass_hours(dispatcher, workspace, clock, 24) == [RESOLVED]


def test_without_repeats_the_rule_would_have_resolved_it_after_two_days(clock):
    tables, workspace = MemoryTables(alert("confirmed", 2)), Workspace(clock, forgets=False)
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 500), clock)
    assert pass_hours(dispatcher, workspace, clock, 5 * 24) == [FIRED, RESOLVED]
    assert len(workspace.rows) == 1


def test_repeat_is_the_last_transition_under_its_own_id_every_four_hours_and_ends_with_the_incident(clock):
    tables, workspace = MemoryTables(alert("opened", 1), alert("confirmed", 2)), Workspace(clock)
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 500), clock)
    pass_hours(dispatcher, workspace, clock, 10)
    assert [r["alert_id"] for r in workspace.rows] == ["i1", "i2", "i2", "i2"]
    assert [r["TimeGenerated"] - START for r in workspace.rows] == [0 * HOUR, 0 * HOUR, 4 * HOUR, 8 * HOUR]
    assert {r["decided_time"] for r in workspace.rows} == {START}
    tables.rows["alerts"].append(alert("retracted", 3, clock.now))
    pass_hours(dispatcher, workspace, clock, 24)
    assert [r["alert_id"] for r in workspace.rows][4:] == ["i3"]
    keys = [(r["alert_id"], r["attempt"], r["state"]) for r in tables.rows["deliveries"]]
    assert len(keys) == len(set(keys))
    assert [k[1] for k in keys if k[0] == "i2" and k[2] == "sent"] == [1, 2, 3]


def test_repeats_go_on_at_the_same_hours_after_a_restart_at_each_of_them(clock):
    tables, workspace = MemoryTables(alert("confirmed", 2)), Workspace(clock)
    for _ in range(20):
        pass_hours(Dispatcher(tables, [workspace], Backoff(60, 500), clock), workspace, clock, 1)
    assert [r["TimeGenerated"] - START for r in workspace.rows] == [n * HOUR for n in (0, 4, 8, 12, 16)]


def test_repeat_that_fails_is_tried_again_with_waits_of_its_own_and_given_up_without_silencing_the_next(clock):
    tables, workspace = MemoryTables(alert("confirmed", 2)), Workspace(clock)
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 3), clock)
    dispatcher.step()
    workspace.away = True
    for _ in range(5):
        clock.now += 4 * HOUR if clock.now == START else timedelta(minutes=2)
        dispatcher.step()
    states = [(r["attempt"], r["state"]) for r in tables.rows["deliveries"] if r["state"] != "claimed"]
    assert states == [(1, "sent"), (2, "failed"), (3, "failed"), (4, "dead")]
    workspace.away = False
    assert pass_hours(dispatcher, workspace, clock, 6) == [FIRED]
    assert len(workspace.rows) == 2


def test_alert_that_could_not_leave_for_a_day_is_told_as_of_now(clock):
    tables, workspace = MemoryTables(alert("confirmed", 2)), Workspace(clock)
    clock.now += 30 * HOUR
    Dispatcher(tables, [workspace], Backoff(60, 500), clock).step()
    assert workspace.rows[0]["TimeGenerated"] == clock.now


def test_open_incident_whose_alert_was_given_up_is_told_once_the_sink_is_back(clock):
    tables, workspace = MemoryTables(alert("opened", 1), alert("confirmed", 2)), Workspace(clock)
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 2), clock)
    workspace.away = True
    for _ in range(5):
        dispatcher.step()
        clock.now += timedelta(minutes=2)
    assert {r["alert_id"] for r in tables.rows["deliveries"] if r["state"] == "dead"} == {"i1", "i2"}
    workspace.away = False
    again = Dispatcher(tables, [workspace], Backoff(60, 2), clock)
    assert pass_hours(again, workspace, clock, 6) == [FIRED]
    assert [r["alert_id"] for r in workspace.rows] == ["i2"]


def test_what_follows_in_an_incident_is_never_older_than_what_was_told_late(clock):
    decided = START + 4 * HOUR
    tables = MemoryTables(alert("confirmed", 2), alert("resolved", 3, decided - timedelta(minutes=1)))
    workspace = Workspace(clock)
    clock.now = decided
    dispatcher = Dispatcher(tables, [workspace], Backoff(60, 500), clock)
    assert pass_hours(dispatcher, workspace, clock, 3 * 24) == []
    assert [r["TimeGenerated"] for r in workspace.rows] == [decided, decided]
