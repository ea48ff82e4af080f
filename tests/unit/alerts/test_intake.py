import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.alerts.intake import Intake, Outcome
from pegel.alerts.outbox import Backoff
from pegel.alerts.retrain_trigger import RetrainQueue
from pegel.alerts.webhook_call import CallError, parse_call
from pegel.errors import OutsideError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = ("pegel-retrain",)


def payload(**change: str) -> dict[str, Any]:
    told = {"alert": "alert-1", "condition": "Fired", "fired": "2026-03-01T12:00:00.1234567Z"}
    told |= {"rule": "pegel-retrain", "incident": "i1", "model": "assistant", **change}
    dimensions = [{"name": "model", "value": told["model"]}, {"name": "incident_id", "value": told["incident"]}]
    essentials = {
        "alertId": told["alert"],
        "alertRule": told["rule"],
        "monitorCondition": told["condition"],
        "firedDateTime": told["fired"],
    }
    context = {"condition": {"allOf": [{"dimensions": dimensions}]}}
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {"essentials": essentials, "alertContext": context},
    }


def body(**change: str) -> bytes:
    return json.dumps(payload(**change)).encode()


def alert(incident: str = "i1", state: str = "confirmed", action: str = "retrain", sequence: int = 2) -> dict[str, Any]:
    return {
        "incident_id": incident, "model": "assistant", "sequence": sequence, "state": state, "action": action,
    }  # fmt: skip


class MemoryTables:
    def __init__(self, *alerts: dict[str, Any]) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"alerts": list(alerts), "webhook_calls": []}
        self.away = False

    def read(self, name: str, _sql: str = "") -> list[dict[str, Any]]:
        if self.away:
            raise OutsideError("away")
        return [dict(row) for row in self.rows[name]]

    def append(self, name: str, rows: list[dict[str, Any]]) -> bool:
        if self.away:
            raise OutsideError("away")
        self.rows[name] += rows
        return True

    @property
    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.rows["webhook_calls"]]


class Jobs:
    def __init__(self) -> None:
        self.away = False
        self.asked: list[str] = []
        self.runs: dict[str, str] = {}

    def start(self, incident_id: str) -> str:
        self.asked.append(incident_id)
        if self.away:
            raise OutsideError("403: no right")
        return self.runs.setdefault(incident_id, str(len(self.runs) + 1))


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def make(tables: MemoryTables, jobs: Jobs, clock: Clock | None = None) -> tuple[Intake, RetrainQueue]:
    time = clock or Clock()
    intake = Intake(tables, RULES, now=time)
    return intake, RetrainQueue(intake, jobs.start, Backoff(60, 1), time)


def test_call_is_stored_before_it_is_answered_and_starts_one_run():
    tables, jobs = MemoryTables(alert()), Jobs()
    intake, queue = make(tables, jobs)
    accepted = intake.accept(body())
    assert (accepted.status, accepted.outcome, tables.outcomes) == (202, Outcome.STORED, ["stored"])
    assert queue.step() is None
    assert (jobs.asked, tables.outcomes) == (["i1"], ["stored", "started"])
    assert tables.rows["webhook_calls"][-1]["run_id"] == "1"
    assert queue.step() is None
    assert jobs.asked == ["i1"]


def test_copy_of_a_call_is_answered_200_and_starts_nothing_even_after_a_restart():
    tables, jobs = MemoryTables(alert()), Jobs()
    for _ in range(3):
        intake, queue = make(tables, jobs)
        for _ in range(2):
            accepted = intake.accept(body())
            queue.step()
    assert (accepted.status, accepted.outcome) == (200, Outcome.DUPLICATE)
    assert (jobs.asked, tables.outcomes) == (["i1"], ["stored", "started"])


def test_second_alert_about_an_incident_that_has_its_run_is_a_duplicate():
    tables, jobs = MemoryTables(alert()), Jobs()
    intake, queue = make(tables, jobs)
    intake.accept(body())
    queue.step()
    again = intake.accept(body(alert="alert-2"))
    queue.step()
    assert (again.status, again.outcome, jobs.asked) == (202, Outcome.DUPLICATE, ["i1"])


@pytest.mark.parametrize(
    ("change", "alerts"),
    [
        ({"condition": "Resolved"}, [alert()]),
        ({"condition": "fired"}, [alert()]),
        ({"rule": "pegel-page"}, [alert()]),
        ({"incident": "i2"}, [alert()]),
        ({"incident": ""}, [alert()]),
        ({"model": "other"}, [alert()]),
        ({}, [alert(state="opened", sequence=1)]),
        ({}, [alert(action="page")]),
        ({}, [alert(), alert(state="resolved", action="none", sequence=3)]),
        ({}, []),
    ],
)
def test_call_that_does_not_ask_for_a_retraining_is_stored_and_starts_nothing(change, alerts):
    tables, jobs = MemoryTables(*alerts), Jobs()
    intake, queue = make(tables, jobs)
    accepted = intake.accept(body(**change))
    queue.step()
    assert (accepted.status, accepted.outcome, tables.outcomes, jobs.asked) == (202, "ignored", ["ignored"], [])


def test_call_without_its_place_to_be_stored_promises_nothing():
    tables, jobs = MemoryTables(alert()), Jobs()
    intake, queue = make(tables, jobs)
    tables.away = True
    with pytest.raises(OutsideError):
        intake.accept(body())
    queue.step()
    tables.away = False
    assert intake.accept(body()).outcome is Outcome.STORED
    assert jobs.asked == []


def test_refused_start_is_tried_again_with_growing_waits_until_it_starts():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = make(tables, jobs, clock)
    jobs.away = True
    intake.accept(body())
    waits = []
    for _ in range(8):
        wait = queue.step()
        assert wait is not None
        waits.append(wait)
        assert queue.step() == wait, "not before its time"
        clock.now += timedelta(seconds=wait)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(jobs.asked) == 8
    assert tables.outcomes == ["stored", "failed"], "the same failure is written once"
    jobs.away = False
    assert queue.step() is None
    assert tables.outcomes[-1] == "started"


def test_call_that_was_stored_by_a_process_that_died_starts_at_the_next_start():
    tables, jobs = MemoryTables(alert()), Jobs()
    make(tables, jobs)[0].accept(body())
    _, queue = make(tables, jobs)
    queue.step()
    assert (jobs.asked, tables.outcomes) == (["i1"], ["stored", "started"])


def test_call_whose_start_failed_before_is_tried_again_at_the_next_start():
    tables, jobs = MemoryTables(alert()), Jobs()
    intake, queue = make(tables, jobs)
    jobs.away = True
    intake.accept(body())
    queue.step()
    jobs.away = False
    make(tables, jobs)[1].step()
    assert tables.outcomes == ["stored", "failed", "started"]


def test_waiting_start_is_given_up_when_the_incident_is_over():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = make(tables, jobs, clock)
    jobs.away = True
    intake.accept(body())
    queue.step()
    tables.rows["alerts"].append(alert(state="resolved", action="none", sequence=3))
    clock.now += timedelta(seconds=5)
    assert queue.step() is None
    assert (len(jobs.asked), tables.outcomes[-1]) == (1, "ignored")


def test_run_that_started_while_the_table_was_away_is_recorded_later_and_not_started_twice():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = make(tables, jobs, clock)
    intake.accept(body())
    start = jobs.start

    def then_away(incident_id: str) -> str:
        run_id = start(incident_id)
        tables.away = not tables.away and len(jobs.asked) == 1
        return run_id

    queue._start = then_away
    queue.step()
    tables.away = False
    clock.now += timedelta(seconds=5)
    queue.step()
    assert (tables.outcomes, len(jobs.runs)) == (["stored", "started"], 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.pop("schemaId"),
        lambda p: p.update(schemaId="AzureMonitorMetricAlert"),
        lambda p: p.pop("data"),
        lambda p: p.update(data=[1]),
        lambda p: p["data"].pop("essentials"),
        lambda p: p["data"]["essentials"].pop("alertId"),
        lambda p: p["data"]["essentials"].update(alertId=7),
        lambda p: p["data"]["essentials"].update(alertRule=""),
        lambda p: p["data"]["essentials"].update(firedDateTime="x" * 5000),
    ],
)
def test_call_that_is_no_common_alert_is_refused(spoil):
    bad = copy.deepcopy(payload())
    spoil(bad)
    with pytest.raises(CallError):
        parse_call(json.dumps(bad).encode())


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"[]", b"nul", b"{" * 20_000, b"[" * 200_000])
def test_body_that_is_no_json_object_is_refused(text):
    with pytest.raises(CallError):
        parse_call(text)


def test_call_is_read_leniently_where_nothing_depends_on_it():
    odd = payload()
    odd["data"]["essentials"] |= {"alertId": "a\ud800", "unknown": {"deep": [1]}, "severity": None}
    odd["data"]["alertContext"] = {"condition": {"allOf": [None, {"dimensions": "none"}, 5]}}
    call = parse_call(json.dumps(odd).encode())
    assert (call.model, call.incident_id, call.azure_alert_id) == ("", "", "a?")


def test_dimension_that_says_two_things_says_nothing():
    both = payload()
    conditions = both["data"]["alertContext"]["condition"]["allOf"]
    conditions.append({"dimensions": [{"name": "incident_id", "value": "i2"}]})
    assert parse_call(json.dumps(both).encode()).incident_id == ""


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["fired", "fired", "resolved", "other alert", "step", "restart", "jobs", "tables"]),
        st.sampled_from(["i1", "i2"]),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(_EVENTS)
def test_each_incident_gets_one_run_in_any_interleaving(events):
    tables, jobs, clock = MemoryTables(alert(), alert("i2")), Jobs(), Clock()
    intake, queue = make(tables, jobs, clock)
    promised = set()
    for what, incident in events:
        clock.now += timedelta(seconds=20)
        if what == "step":
            queue.step()
        elif what == "restart":
            tables.away = False
            intake, queue = make(tables, jobs, clock)
        elif what == "jobs":
            jobs.away = not jobs.away
        elif what == "tables":
            tables.away = not tables.away
        else:
            name = f"{incident}-2" if what == "other alert" else incident
            call = body(alert=name, incident=incident, condition="Resolved" if what == "resolved" else "Fired")
            try:
                if intake.accept(call).outcome is Outcome.STORED:
                    promised.add(incident)
            except OutsideError:
                assert tables.away
    tables.away = jobs.away = False
    clock.now += timedelta(seconds=100)
    queue.step()
    assert set(jobs.runs) == promised
    started = [row["incident_id"] for row in tables.rows["webhook_calls"] if row["outcome"] == "started"]
    assert sorted(started) == sorted(promised)
    keys = [(row["call_id"], row["outcome"], row["detail"]) for row in tables.rows["webhook_calls"]]
    assert len(keys) == len(set(keys))
