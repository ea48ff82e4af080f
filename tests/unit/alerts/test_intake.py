import copy
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.retraining.guards import Guards
from pegel.alerts.retraining.past_retrainings import PastRetrainings
from pegel.alerts.retraining.trigger import LOOK_AGAIN_SECONDS, RetrainQueue
from pegel.alerts.webhook.call import SIGNED, Approval, CallError, parse_approval, parse_call, parse_event
from pegel.alerts.webhook.call_records import Outcome
from pegel.alerts.webhook.intake import Intake
from pegel.alerts.webhook.reconciler import Reconciler
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
        "alert_id": f"{incident}-{sequence}", "incident_id": incident, "model": "assistant", "sequence": sequence,
        "state": state, "action": action, "decided_time": NOON,
    }  # fmt: skip


class MemoryTables:
    def __init__(self, *alerts: dict[str, Any]) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"alerts": list(alerts), "webhook_calls": [], "retrainings": []}
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
        lambda p: p["data"]["essentials"].update(alertId="x" * 5000),
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


def event(incident: str = "i1", state: str = "confirmed", sequence: int = 2, **change: Any) -> bytes:
    data = {"alert_id": f"{incident}-{sequence}", "incident_id": incident, "model": "assistant", "state": state}
    return json.dumps({"type": f"pegel.alert.{state}", "data": data, **change}).encode()


def test_alert_that_another_pegel_sent_is_a_call_and_only_a_confirmed_one_fires():
    read = [parse_event(event(state=state)) for state in ("opened", "confirmed", "retracted", "resolved")]
    assert [call.condition for call in read] == ["opened", "Fired", "retracted", "resolved"]
    assert {(call.alert_rule, call.model, call.incident_id) for call in read} == {("signed:pegel", "assistant", "i1")}
    assert len({call.call_id for call in read}) == 4


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", event(type="other.alert.confirmed"), event(type=7), event(data=[]), event(data={"model": "m"})],
)
def test_body_that_is_no_alert_of_pegel_is_refused(text):
    with pytest.raises(CallError):
        parse_event(text)


def test_call_keeps_its_name_whatever_else_a_copy_says():
    named = {parse_call(body(fired=fired, rule=rule)).call_id for fired in ("1", "2") for rule in ("a", "b")}
    assert len(named) == 1
    assert len({parse_call(body(condition=condition)).call_id for condition in ("Fired", "Resolved")}) == 2


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


def reconciled(tables: MemoryTables, jobs: Jobs, clock: Clock) -> tuple[Intake, RetrainQueue, Reconciler]:
    intake, queue = make(tables, jobs, clock)
    return intake, queue, Reconciler(intake, 600, clock)


def test_alert_whose_call_never_came_is_taken_up_after_its_time_and_once():
    tables, jobs, clock = MemoryTables(alert(), alert("i2"), alert("i3", "opened", sequence=1)), Jobs(), Clock()
    tables.rows["alerts"].append(alert("i4", action="page"))
    tables.rows["retrainings"].append({"incident_id": "i2"})
    intake, queue, reconciler = reconciled(tables, jobs, clock)
    clock.now += timedelta(seconds=599)
    reconciler.step()
    assert intake.waiting == []
    for _ in range(5):
        clock.now += timedelta(seconds=60)
        reconciler.step()
        queue.step()
    assert (jobs.asked, tables.outcomes) == (["i1"], ["stored", "started"])
    assert tables.rows["webhook_calls"][0]["alert_rule"] == "reconciled:alerts"
    assert intake.accept(body()).outcome is Outcome.DUPLICATE, "the call that comes after all"
    intake, queue, reconciler = reconciled(tables, jobs, clock)
    reconciler.step()
    queue.step()
    assert jobs.asked == ["i1"], "nor after a restart"


def test_reconciler_leaves_alone_what_a_call_has_begun_and_what_is_over():
    tables, jobs, clock = MemoryTables(alert(), alert("i2"), alert("i2", "resolved", "none", 3)), Jobs(), Clock()
    intake, queue, reconciler = reconciled(tables, jobs, clock)
    jobs.away = True
    intake.accept(body())
    queue.step()
    clock.now += timedelta(seconds=900)
    reconciler.step()
    assert len(intake.waiting) == 1
    assert {row["alert_rule"] for row in tables.rows["webhook_calls"]} == {"pegel-retrain"}


def test_reconciler_looks_again_after_the_storage_was_away_and_not_too_often():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, _, reconciler = reconciled(tables, jobs, clock)
    clock.now += timedelta(seconds=900)
    tables.away = True
    assert reconciler.step() == 60
    tables.away = False
    clock.now += timedelta(seconds=59)
    assert reconciler.step() == 1
    assert intake.waiting == []
    clock.now += timedelta(seconds=1)
    reconciler.step()
    assert len(intake.waiting) == 1


def proposing(tables: MemoryTables, jobs: Jobs, clock: Clock, mode: str = "propose") -> tuple[Intake, RetrainQueue]:
    intake = Intake(tables, RULES, now=clock, mode=mode)
    return intake, RetrainQueue(intake, jobs.start, Backoff(60, 1), clock)


def test_proposed_retraining_starts_once_a_person_approved_it_and_not_before_nor_again():
    tables, jobs, clock = MemoryTables(alert(), alert("i2")), Jobs(), Clock()
    intake, queue = proposing(tables, jobs, clock)
    assert intake.accept(body()).outcome is Outcome.PROPOSED
    assert intake.accept(body(alert="alert-2")).outcome is Outcome.DUPLICATE
    Reconciler(intake, 600, clock).step()
    queue.step()
    intake, queue = proposing(tables, jobs, clock)
    queue.step()
    assert (jobs.asked, intake.waiting) == ([], []), "nor after a restart"
    approved = intake.approve(Approval("i1", "Ada"))
    assert (approved.status, approved.outcome, approved.detail) == (202, Outcome.STORED, "approved by Ada")
    intake, queue = proposing(tables, jobs, clock)
    queue.step()
    again = intake.approve(Approval("i1", "Ada"))
    queue.step()
    assert (again.status, again.outcome, jobs.asked) == (200, Outcome.DUPLICATE, ["i1"])
    assert tables.outcomes == ["proposed", "duplicate", "stored", "started"]


def test_person_may_approve_before_any_call_came_and_the_call_is_then_a_copy():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = proposing(tables, jobs, clock)
    assert intake.approve(Approval("i1", "Ada")).status == 202
    queue.step()
    assert intake.accept(body()).outcome is Outcome.DUPLICATE
    assert jobs.asked == ["i1"]


@pytest.mark.parametrize(
    ("alerts", "retrainings", "says"),
    [
        ([], [], "no incident of this id"),
        ([alert(state="opened", sequence=1)], [], "no incident of this id"),
        ([alert(action="page")], [], "no incident of this id"),
        ([alert()], [{"incident_id": "i1"}], "no incident of this id"),
    ],
)
def test_what_asks_for_no_retraining_cannot_be_approved(alerts, retrainings, says):
    tables, jobs, clock = MemoryTables(*alerts), Jobs(), Clock()
    tables.rows["retrainings"] += retrainings
    intake, queue = proposing(tables, jobs, clock)
    refused = intake.approve(Approval("i1", "Ada"))
    queue.step()
    assert (refused.status, jobs.asked, tables.outcomes) == (409, [], [])
    assert says in refused.detail


def test_proposal_whose_incident_is_over_cannot_be_approved_any_more():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = proposing(tables, jobs, clock)
    intake.accept(body())
    tables.rows["alerts"].append(alert(state="resolved", action="none", sequence=3))
    refused = intake.approve(Approval("i1", "Ada"))
    queue.step()
    assert (refused.status, refused.detail, jobs.asked) == (409, "the incident is resolved, not confirmed", [])


def test_who_only_observes_starts_nothing_with_or_without_an_approval():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = proposing(tables, jobs, clock, "observe")
    assert intake.accept(body()).outcome is Outcome.IGNORED
    assert intake.approve(Approval("i1", "Ada")).status == 409
    clock.now += timedelta(seconds=900)
    Reconciler(intake, 600, clock).step()
    queue.step()
    assert (jobs.asked, tables.outcomes) == ([], ["ignored"]), "nor is a call missed"
    intake, queue = proposing(tables, jobs, clock, "auto")
    Reconciler(intake, 600, clock).step()
    queue.step()
    assert jobs.asked == ["i1"], "until the mode is another one"


@pytest.mark.parametrize(
    "text", [b"{}", b'{"type": "pegel.approval", "data": {"incident_id": "i1", "by": "a\\nb"}}', event()]
)
def test_body_that_is_no_approval_is_refused(text):
    with pytest.raises(CallError):
        parse_approval(text)


INTERLEAVINGS = 1_000


def _interleaving(seed: int) -> tuple[Jobs, MemoryTables, set[str]]:
    """Three incidents, one of them retracted; each call up to six times, in any order, amid faults of every side."""
    random = Random(seed)
    tables, jobs, clock = MemoryTables(alert("i1"), alert("i2"), alert("i3", "retracted", "none")), Jobs(), Clock()
    calls = [
        (body(alert=f"{i}-{n}", incident=i, condition=condition), parse_call)
        for i in ("i1", "i2", "i3") for n in (1, 2) for condition in ("Fired", "Resolved")
    ]  # fmt: skip
    calls += [(event(i, state, n), parse_event) for i in ("i1", "i2") for n, state in ((1, "opened"), (2, "confirmed"))]
    # Some never arrive; the others come one to six times.
    steps: list[Any] = [call for call in calls if random.random() < 0.6 for _ in range(random.randint(1, 6))]
    steps += random.choices(["step", "restart", "jobs", "tables", "wait", "reconcile"], k=15)
    random.shuffle(steps)

    def start() -> tuple[Intake, RetrainQueue, Reconciler]:
        intake = Intake(tables, (*RULES, SIGNED), now=clock)
        return intake, RetrainQueue(intake, jobs.start, Backoff(60, 1), clock), Reconciler(intake, 600, clock)

    intake, queue, reconciler = start()
    for step in steps:
        clock.now += timedelta(seconds=random.choice([0, 1, 30]))
        if step == "step":
            queue.step()
        elif step == "reconcile":
            reconciler.step()
        elif step == "restart":
            tables.away = False
            intake, queue, reconciler = start()
        elif step == "jobs":
            jobs.away = not jobs.away
        elif step == "tables":
            tables.away = not tables.away
        elif step == "wait":
            clock.now += timedelta(seconds=300)
        else:
            with suppress(OutsideError):
                intake.accept(*step)
    tables.away = jobs.away = False
    for _ in range(3):
        clock.now += timedelta(seconds=700)
        reconciler.step()
        queue.step()
    return jobs, tables, {"i1", "i2"}


def test_thousand_interleavings_of_copied_reordered_replayed_and_lost_calls_make_one_run_for_each_incident():
    came, lost = 0, 0
    for seed in range(INTERLEAVINGS):
        jobs, tables, wanted = _interleaving(seed)
        assert set(jobs.runs) == wanted, seed
        started = [row["incident_id"] for row in tables.rows["webhook_calls"] if row["outcome"] == "started"]
        assert sorted(started) == sorted(wanted), seed
        rules = [row["alert_rule"] for row in tables.rows["webhook_calls"] if row["outcome"] == "started"]
        lost += rules.count("reconciled:alerts")
        came += len(rules) - rules.count("reconciled:alerts")
    assert came > INTERLEAVINGS / 2, "runs that a call started"
    assert lost > INTERLEAVINGS / 20, "runs whose call never came"


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


def test_a_second_incident_waits_for_the_end_of_the_first_retraining_and_for_the_cooldown():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake = Intake(tables, RULES, now=clock)
    bounds = Guards(timedelta(hours=2), daily_cap=3, run_limit=timedelta(hours=6))
    past = PastRetrainings(tables, bounds, clock)
    queue = RetrainQueue(intake, jobs.start, Backoff(60, 1), clock, past.hold)
    intake.accept(body())
    queue.step()
    tables.append("alerts", [alert(incident="i2")])
    intake.accept(body(alert="alert-2", incident="i2"))
    assert queue.step() == LOOK_AGAIN_SECONDS
    assert jobs.asked == ["i1"]
    assert tables.rows["webhook_calls"][-1]["detail"] == "it waits: the retraining of incident i1 has not ended"
    assert len(queue.held_back) == 1

    ended = {"incident_id": "i1", "model": alert()["model"], "state": "proven", "at": clock.now}
    tables.rows.setdefault("retrainings", []).append(ended)
    for _ in range(3):
        clock.now += timedelta(minutes=39)
        queue.step()
        assert jobs.asked == ["i1"]
    clock.now += timedelta(minutes=39)
    assert queue.step() is None
    assert (jobs.asked, queue.held_back) == (["i1", "i2"], set())
    assert tables.outcomes == ["stored", "started", "stored", "stored", "stored", "started"]


def retraining(incident: str, state: str, at: datetime, attempt: int = 1) -> dict[str, Any]:
    return {"incident_id": incident, "model": "assistant", "state": state, "at": at, "attempt": attempt}


def test_each_attempt_of_a_retraining_counts_in_whatever_order_its_rows_are_read():
    bounds, week = Guards(timedelta(hours=6), daily_cap=3, run_limit=timedelta(hours=6)), timedelta(days=7)
    call = parse_call(body())
    rows = [
        *(retraining("scheduled-1", state, NOON - week) for state in ("started", "rejected")),
        retraining("scheduled-1", "started", NOON, attempt=2),
    ]
    ended = [*rows, retraining("scheduled-1", "rejected", NOON + timedelta(hours=1), attempt=2)]
    for some, after, reason in ((rows, 1, "has not ended"), (ended, 2, "cooldown"), (ended, 8, None)):
        for order in (some, some[::-1]):
            tables = MemoryTables(alert())
            tables.rows["retrainings"] = order
            found = PastRetrainings(tables, bounds, lambda after=after: NOON + timedelta(hours=after)).hold(call)
            assert (found is None) if reason is None else reason in found.reason


def test_a_retraining_that_a_person_began_is_not_started_by_a_call_nor_by_an_approval():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    intake, queue = make(tables, jobs, clock)
    intake.accept(body())
    tables.rows["retrainings"] = [retraining("i1", "started", clock.now)]
    queue.step()
    assert (jobs.asked, tables.outcomes, queue.step()) == ([], ["stored", "duplicate"], None)
    assert intake.accept(body(alert="alert-2")).outcome is Outcome.DUPLICATE
    asking, _ = proposing(MemoryTables(alert()), jobs, clock)
    asking.accept(body())
    asking._tables.rows["retrainings"] = [retraining("i1", "started", clock.now)]
    assert asking.approve(Approval("i1", "Ada")).outcome is Outcome.DUPLICATE


def test_a_run_that_could_not_be_recorded_is_started_once_and_holds_the_others_of_its_model_back():
    tables, jobs, clock = MemoryTables(alert(), alert(incident="i2")), Jobs(), Clock()
    intake, queue = make(tables, jobs, clock)
    intake.accept(body())
    intake.accept(body(alert="alert-2", incident="i2"))

    def start(incident: str) -> str:
        tables.away = True
        return jobs.start(incident)

    queue._start = start
    for _ in range(3):
        queue.step()
        clock.now += timedelta(minutes=2)
    assert jobs.asked == ["i1"]
    tables.away = False
    tables.rows["alerts"].append(alert(state="resolved", sequence=3))
    queue._start = jobs.start
    queue.step()
    assert next(row["run_id"] for row in tables.rows["webhook_calls"] if row["outcome"] == "started") == "1"


def test_what_was_proposed_starts_once_the_mode_is_auto():
    tables, jobs, clock = MemoryTables(alert()), Jobs(), Clock()
    proposing(tables, jobs, clock)[0].accept(body())
    _, queue = proposing(tables, jobs, clock, mode="auto")
    queue.step()
    assert (jobs.asked, tables.outcomes) == (["i1"], ["proposed", "started"])


def test_who_lets_no_call_start_anything_misses_none():
    tables, clock = MemoryTables(alert()), Clock()
    clock.now += timedelta(days=1)
    assert Intake(tables, (), now=clock).overlooked(clock.now) == []
    assert len(Intake(tables, RULES, now=clock).overlooked(clock.now)) == 1


@pytest.mark.parametrize("state", ["", "Fired", "reconciled:alerts", "confirmed\n"])
def test_an_event_of_no_state_of_an_incident_is_refused(state):
    event = {"type": f"pegel.alert.{state}", "data": {"alert_id": "a", "incident_id": "i1", "model": "assistant"}}
    with pytest.raises(CallError, match="no state"):
        parse_event(json.dumps(event).encode())
