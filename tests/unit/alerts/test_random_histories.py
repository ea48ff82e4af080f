"""Incidents, calls and retrainings driven together through random histories, on tables in memory.

What may come in any order: verdicts, windows that are final early, late or not at all, counts that do not add up, calls
that are copied, lost or made up, people, faults of every side, and ends of every process at any step.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.incidents import Incidents
from pegel.alerts.retraining.guards import Guards
from pegel.alerts.retraining.past_retrainings import PastRetrainings
from pegel.alerts.retraining.trigger import RetrainQueue
from pegel.alerts.webhook.call import FIRED, SIGNED, Approval, WebhookCall, call_key
from pegel.alerts.webhook.intake import Intake
from pegel.alerts.webhook.reconciler import Reconciler
from pegel.errors import ContractError, OutsideError
from pegel.lifecycle.record import Record, open_record
from pegel.schemas.state_machines import INCIDENT, RETRAINING, RetrainingState

Row = dict[str, Any]
COOLDOWN, RUN_LIMIT = timedelta(hours=1), timedelta(hours=6)
GUARDS = Guards(COOLDOWN, 3, RUN_LIMIT)
MODELS = ("assistant", "router")

BLOCKS = st.lists(
    st.tuples(
        st.sampled_from(MODELS),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["*", "*", "channel=web"]),
        st.sampled_from(["quiet", "quiet", "rings", "rings", "small", "rate"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
FINDING = st.sampled_from(["rings", "rings", "rings", "not final", "quiet"])
WAITS = st.sampled_from([0, 1, 15, 90, 400])
DIES = st.sampled_from(["not", "not", "not", "before it writes", "after it wrote"])


QUICK = settings(stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None)


class Tables:
    """Rows in memory, appended once for each transaction."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.away = False
        self._done: dict[str, int] = {}

    def read(self, name: str, _sql: str = "") -> list[Row]:
        if self.away:
            raise OutsideError("away")
        return [dict(row) for row in self.rows[name]]

    def append(self, name: str, rows: Sequence[Row], transaction: tuple[str, int] | None = None) -> bool:
        if self.away:
            raise OutsideError("away")
        if transaction is not None:
            if self._done.get(transaction[0], -1) >= transaction[1]:
                return False
            self._done[transaction[0]] = transaction[1]
        self.rows[name] += [dict(row) for row in rows]
        return True


class Loop(RuleBasedStateMachine):
    """The stream, the webhook, the job service and the retraining job, each of which may end at any step."""

    make: Any = None
    seen: ClassVar[set[str]] = set()

    @initialize(
        resolve_after=st.integers(1, 3),
        uncalibrated=st.booleans(),
        mode=st.sampled_from(["auto", "auto", "propose"]),
        confirmed=st.booleans(),
    )
    def begin(self, resolve_after: int, uncalibrated: bool, mode: Any, confirmed: bool) -> None:
        given = self.make.policy(resolve_after_blocks=resolve_after, uncalibrated_may_retrain=uncalibrated)
        # Two incidents of a model may ask for a retraining at once.
        second = replace(given.rules[0], name="answers", columns=("output",))
        self.policy = replace(given, rules=(*given.rules, second))
        self.tables, self.mode = Tables(), mode
        self.now, self.batch_id = datetime(2026, 3, 1, tzinfo=UTC), 0
        self.runs: dict[str, str] = {}
        self.wrong: list[str] = []
        self.jobs_away = False
        self.incidents = Incidents(self.policy)
        self.start_webhook()
        if confirmed:
            for what in ("rings", "quiet"):
                self._batch([self._block("assistant", "1", "*", what, True)], lambda: "rings")
            self.call(0, FIRED, 1, 1)
            for incident_id in self.runs:
                self._record(incident_id).reach(RetrainingState.STARTED)

    # The stream.

    @rule(
        blocks=BLOCKS,
        data=st.data(),
        conserved=st.sampled_from([True] * 5 + [False]),
        dies=DIES,
        quiet=st.integers(0, 3),
    )
    def micro_batches(self, blocks: Any, data: st.DataObject, conserved: bool, dies: str, quiet: int) -> None:
        closed = [self._block(*one) for one in blocks]
        self._batch(closed, lambda: data.draw(FINDING), conserved, dies, lambda: self._all_jobs_go_on(data))
        for _ in range(quiet):
            calm = [self._block(model, "2", "*", "quiet", True) for model in MODELS]
            self._batch(calm, lambda: data.draw(FINDING))

    def _batch(
        self,
        closed: Any,
        finding: Callable[[], str],
        conserved: bool = True,
        dies: str = "not",
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.batch_id += 1
        self.now += timedelta(minutes=1)
        findings = {e.incident_id: finding() for e in self.incidents.unconfirmed()}
        rows = self._decide(self.incidents, closed, findings, conserved)
        assert rows == self._decide(self._rebuilt(), closed, findings, conserved), "a restart decides the same"
        if dies == "before it writes":
            self.incidents = self._rebuilt()
            assert rows == self._decide(self.incidents, closed, findings, conserved), "a replay decides the same"
        self._write(rows, closed, conserved)
        if dies == "after it wrote":
            # A retraining may have gone on meanwhile; then a replay decides otherwise, and the tables are right.
            meanwhile()
            self._write(self._decide(self._rebuilt(), closed, findings, conserved), closed, conserved)
            self.batch_id += 1
            self.incidents = self._rebuilt()

    def _decide(self, incidents: Incidents, closed: Any, findings: dict[str, str], conserved: bool) -> list[Row]:
        judged = {e.incident_id: self._judged(e, findings[e.incident_id]) for e in incidents.unconfirmed()}
        facts = self.make.facts(self.batch_id, conserved=conserved)
        return incidents.advance(closed, judged, self._retrainings(), facts)

    def _judged(self, evidence: Any, finding: str) -> Any:
        if finding == "not final":
            return None
        if evidence.rates:
            return (self.make.rate(rang=finding == "rings"),)
        return tuple(self.make.verdict(name, rang=finding == "rings") for name in evidence.columns)

    def _block(self, model: str, version: str, segment: str, what: str, calibrated: bool) -> Any:
        change = {"effect": 0.05} if what == "small" else {}
        column = self.make.verdict("output", rang=what in {"rings", "small"}, calibrated=calibrated, **change)
        rates = (self.make.rate(rang=what == "rate"),)
        return self.make.block(self.batch_id, column, model=model, version=version, segment=segment, rates=rates)

    def _write(self, rows: list[Row], closed: Any, conserved: bool) -> None:
        blocks = [self.make.as_row(block, self.batch_id) for block in closed]
        self.tables.append("blocks", blocks, ("q/blocks", self.batch_id))
        if self.tables.append("alerts", rows, ("q/alerts", self.batch_id)):
            for row in rows:
                self._check_proof(row)
        self.tables.append("batches", [{"batch_id": self.batch_id, "conserved": conserved}], ("q", self.batch_id))

    def _rebuilt(self) -> Incidents:
        alerts = [row for row in self.tables.rows["alerts"] if row["batch_id"] < self.batch_id]
        blocks = [row for row in self.tables.rows["blocks"] if row["batch_id"] < self.batch_id]
        conserved = {row["batch_id"]: row["conserved"] for row in self.tables.rows["batches"]}
        made = Incidents(self.policy)
        made.restore(alerts, blocks, {n: good for n, good in conserved.items() if n < self.batch_id})
        return made

    def _retrainings(self) -> dict[str, str]:
        return {row["incident_id"]: row["state"] for row in self.tables.rows["retrainings"]}

    # The webhook and the job service.

    def start_webhook(self) -> None:
        view: Any = self.tables
        self.intake = Intake(view, ("pegel-retrain", SIGNED), now=self.clock, mode=self.mode)
        held = PastRetrainings(view, GUARDS, self.clock).hold
        self.queue = RetrainQueue(self.intake, self.start_job, Backoff(60, 1), self.clock, held)
        self.reconciler = Reconciler(self.intake, 600, self.clock)

    def clock(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def start_job(self, incident_id: str) -> str:
        if self.jobs_away:
            raise OutsideError("no answer")
        if incident_id not in self.runs:
            self._check_start(incident_id)
        return self.runs.setdefault(incident_id, str(len(self.runs)))

    @rule()
    def restart_webhook(self) -> None:
        self.tables.away = False
        self.start_webhook()

    @rule(
        which=st.integers(0, 9),
        condition=st.sampled_from([FIRED, FIRED, FIRED, "Resolved"]),
        copies=st.integers(1, 3),
        minutes=WAITS,
    )
    def call(self, which: int, condition: str, copies: int, minutes: int) -> None:
        known = self._confirmed() or [{"incident_id": "made up", "model": "assistant"}]
        told = known[which % len(known)]
        call = WebhookCall(
            call_key(told["incident_id"] + str(which), condition), str(which), condition, "pegel-retrain",
            told["model"], told["incident_id"],
        )  # fmt: skip
        for _ in range(copies):
            with suppress(OutsideError):
                self.intake.take(call)
        self.time_passes(minutes)

    @rule(minutes=WAITS)
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.reconciler.step()
        self.queue.step()

    @rule(which=st.integers(0, 9))
    def approve(self, which: int) -> None:
        known = [row["incident_id"] for row in self._confirmed()] or ["made up"]
        with suppress(OutsideError):
            self.intake.approve(Approval(known[which % len(known)], "Ada"))

    @rule(what=st.sampled_from(["jobs", "tables"]))
    def fails_for_a_while(self, what: str) -> None:
        if what == "jobs":
            self.jobs_away = not self.jobs_away
            return
        self.tables.away = True
        self.reconciler.step()
        self.queue.step()
        self.tables.away = False

    def _confirmed(self) -> list[Row]:
        return [row for row in self.tables.rows["alerts"] if row["state"] == "confirmed"]

    # The retraining job.

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 9), times=st.integers(1, 6), data=st.data())
    def job_goes_on(self, which: int, times: int, data: st.DataObject) -> None:
        for _ in range(times):
            self._go_on(sorted(self.runs)[which % len(self.runs)], data)

    def _all_jobs_go_on(self, data: st.DataObject) -> None:
        for incident_id in sorted(self.runs):
            self._go_on(incident_id, data)

    def _record(self, incident_id: str) -> Record:
        model = next(row["model"] for row in self.tables.rows["alerts"] if row["incident_id"] == incident_id)
        return open_record(self.tables, model, incident_id, self.clock)  # type: ignore[arg-type]

    def _go_on(self, incident_id: str, data: st.DataObject) -> None:
        record = self._record(incident_id)
        if record.end is not None:
            return
        states = list(RetrainingState)
        before = max(record.rows, key=states.index, default=None)
        legal = [state for state in states if state in RETRAINING.after(before)]
        onwards = [state for state in legal if state not in {RetrainingState.FAILED, RetrainingState.REJECTED}]
        state = data.draw(st.sampled_from(onwards * 8 + legal + states))
        if state in legal or state in record.rows:
            record.reach(state)
        else:
            with pytest.raises(ContractError):
                record.reach(state)

    def teardown(self) -> None:
        self.seen |= {row["state"] for table in ("alerts", "retrainings") for row in self.tables.rows[table]}

    # What must be true of the rows, whatever came.

    def _check_proof(self, row: Row) -> None:
        mine = [other for other in self.tables.rows["alerts"] if other["incident_id"] == row["incident_id"]]
        if row["state"] == "resolved" and any(other["action"] == "retrain" for other in mine if other["sequence"] == 2):
            assert self._retrainings().get(row["incident_id"]) == "proven"

    def _check_start(self, incident_id: str) -> None:
        """What is wrong is kept: whoever starts jobs survives any exception."""
        newest = [row for row in self.tables.rows["alerts"] if row["incident_id"] == incident_id][-1]
        if (newest["state"], newest["action"]) != ("confirmed", "retrain"):
            self.wrong.append("a retraining started that nothing asks for")
        rows = [row for row in self.tables.rows["retrainings"] if row["model"] == newest["model"]]
        for other in {row["incident_id"] for row in rows}:
            states = [row for row in rows if row["incident_id"] == other]
            if states[-1]["state"] not in RETRAINING.ends:
                if self.now < max(row["at"] for row in states if row["state"] == "started") + RUN_LIMIT:
                    self.wrong.append("two retrainings of a model at once")
            elif self.now < states[-1]["at"] + COOLDOWN:
                self.wrong.append("a retraining within the cooldown of another")

    @invariant()
    def only_what_may_start_has_started(self) -> None:
        assert self.wrong == []

    @invariant()
    def incidents_take_legal_steps_and_there_is_one_at_a_time(self) -> None:
        by_incident: dict[str, list[Row]] = defaultdict(list)
        open_now: dict[tuple[str, str], str] = {}
        for row in self.tables.rows["alerts"]:
            by_incident[row["incident_id"]].append(row)
            key = row["model"], row["rule"]
            assert open_now.setdefault(key, row["incident_id"]) == row["incident_id"], "one unresolved at a time"
            if row["state"] in INCIDENT.ends:
                del open_now[key]
        for rows in by_incident.values():
            assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
            _check_path(INCIDENT, [row["state"] for row in rows])
        assert {i.incident_id for i in self.incidents.unresolved} == set(open_now.values())
        assert len({row["alert_id"] for row in self.tables.rows["alerts"]}) == len(self.tables.rows["alerts"])

    @invariant()
    def retrainings_take_legal_steps_and_each_incident_has_one_run(self) -> None:
        attempts: dict[tuple[str, int], list[str]] = defaultdict(list)
        for row in self.tables.rows["retrainings"]:
            attempts[row["incident_id"], row["attempt"]].append(row["state"])
        for (incident_id, attempt), path in attempts.items():
            _check_path(RETRAINING, path)
            assert attempt == 1 or attempts[incident_id, attempt - 1][-1] in RETRAINING.ends - {"proven"}
        started = [row["incident_id"] for row in self.tables.rows["webhook_calls"] if row["outcome"] == "started"]
        assert len(started) == len(set(started))
        assert set(started) <= set(self.runs)


def _check_path(machine: Any, path: list[str]) -> None:
    for before, after in pairwise([None, *path]):
        assert after in machine.after(before), path


class Make:
    """The makers of the neighbouring tests."""

    def __init__(self, **makers: Callable[..., Any]) -> None:
        self.__dict__.update(makers)


@pytest.fixture
def histories(verdict: Any, rate: Any, block: Any, facts: Any, as_row: Any, policy: Any) -> type[Loop]:
    Loop.make = Make(verdict=verdict, rate=rate, block=block, facts=facts, as_row=as_row, policy=policy)
    Loop.seen.clear()
    return Loop


def test_random_histories_of_incidents_and_retrainings_keep_every_law(histories: type[Loop]) -> None:
    run_state_machine_as_test(histories, settings=settings(QUICK, max_examples=250, derandomize=True))
    missing = {*INCIDENT.states, *RETRAINING.states} - histories.seen
    assert not missing, f"the histories were too tame: {missing}"


@pytest.mark.soak
def test_thousands_of_random_histories_keep_every_law(histories: type[Loop]) -> None:
    run_state_machine_as_test(histories, settings=settings(QUICK, max_examples=3000, stateful_step_count=60))
