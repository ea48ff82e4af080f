"""What happens to a call that was let in: stored first, then answered, then acted on. Edge: owns ``webhook_calls``.

A retraining starts only for a call that fired, of a rule in the settings, about an incident that the table ``alerts``
itself says is confirmed and asks for one; and once for each incident, whatever arrives how often in which order.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pegel.alerts.webhook.call import FIRED, RECONCILED, Approval, WebhookCall, call_key, parse_call
from pegel.alerts.webhook.call_records import (
    APPROVAL,
    CALL,
    ENDED,
    RETRAINING,
    Outcome,
    audit_decision,
    call_from_row,
    call_row,
    in_order,
)
from pegel.conf.settings import Mode
from pegel.schemas.policy import Action, AlertState
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

_LEADS_TO: dict[Mode, tuple[Outcome, str]] = {
    "observe": (Outcome.IGNORED, "webhook.mode is observe, so nothing is started"),
    "propose": (Outcome.PROPOSED, "it waits for a person: pegel approve and the incident's id"),
    "auto": (Outcome.STORED, "a retraining starts"),
}
"""What a call that is right leads to."""

HAS_BEGUN = "the retraining of this incident has begun already"

_TAKEN = (Outcome.PROPOSED, Outcome.STORED, Outcome.STARTED, Outcome.FAILED)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a call: 202 if it is new, 200 if it was known; 409 to an approval of what cannot be approved."""

    status: int
    outcome: Outcome
    detail: str


class Intake:
    """The calls of this webhook, past and present.

    Args:
        tables: where ``alerts`` is read and ``webhook_calls`` is written; no other process writes the latter.
        rules: the alert rules that may start a retraining.
        wake: called after a call was stored that has to be acted on.
        now: the clock.
        mode: what a call that is right leads to: nothing, a proposal that waits for an approval, or a retraining.
        trail: where each decision is recorded before anything else is done about it.
    """

    def __init__(
        self,
        tables: DeltaTables,
        rules: tuple[str, ...],
        wake: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        mode: Mode = "auto",
        trail: AuditTrail | None = None,
    ) -> None:
        self._tables = tables
        self._mode = mode
        self._trail = trail
        self._rules = rules
        self._wake = wake
        self._now = now
        self._lock = threading.Lock()
        self._written: set[tuple[str, str, str | None]] = set()
        self._known: dict[str, Outcome] = {}
        self._waiting: dict[str, WebhookCall] = {}
        self._proposed: dict[str, WebhookCall] = {}
        self._taken: dict[str, str] = {}
        self._recall()

    @property
    def how_many_wait(self) -> int:
        """Without waiting itself, whatever is being written: a probe must never stand in a queue."""
        return len(self._waiting)

    @property
    def waiting(self) -> list[WebhookCall]:
        """The calls that are stored and have not started their retraining yet, the oldest first."""
        with self._lock:
            return list(self._waiting.values())

    def accept(self, body: bytes, read: Callable[[bytes], WebhookCall] = parse_call) -> Accepted:
        """Store a call.

        Args:
            body: as it came.
            read: understands it.

        Raises:
            CallError: if the body is not what is understood.
            OutsideError: if a table cannot be read or written; nothing is promised then, and the call has to come back.
        """
        return self.take(read(body))

    def take(self, call: WebhookCall) -> Accepted:
        """Store a call that was understood, or that should have come.

        Raises:
            OutsideError: if a table cannot be read or written.
        """
        with self._lock:
            if call.call_id in self._known:
                known = Accepted(200, Outcome.DUPLICATE, "this call was taken before")
                if self._trail is not None:
                    self._trail.put(**audit_decision(CALL, call, known.outcome, None, known.detail))
                return known
            outcome, detail = self._judge(call)
            self._record(CALL, call, outcome, None, detail)
            self._write(call, outcome, None, detail)
            self._remember(call, outcome)
        if outcome is Outcome.STORED:
            self._wake()
        return Accepted(202, outcome, detail)

    def approve(self, approval: Approval) -> Accepted:
        """Let the retraining of an incident start: of one that was proposed, or whose call never came.

        Raises:
            OutsideError: if a table cannot be read or written.
        """
        if self._mode == "observe":
            return Accepted(409, *_LEADS_TO["observe"])
        missed = {call.incident_id: call for call in self.overlooked(self._now())}
        with self._lock:
            call = self._proposed.get(approval.incident_id)
            if call is None and approval.incident_id in self._taken:
                return Accepted(200, Outcome.DUPLICATE, "the retraining of this incident needs no approval any more")
            call = call or missed.get(approval.incident_id)
            if call is None:
                return Accepted(409, Outcome.IGNORED, "no incident of this id asks for a retraining that has not begun")
            reason = self.why_not(call)
            if reason is not None:
                return Accepted(409, Outcome.IGNORED, reason)
            if self.has_begun(call):
                return Accepted(200, Outcome.DUPLICATE, HAS_BEGUN)
            detail = f"approved by {approval.by}"
            self._record(APPROVAL, call, Outcome.STORED, None, detail)
            self._write(call, Outcome.STORED, None, detail)
            self._remember(call, Outcome.STORED)
        self._wake()
        return Accepted(202, Outcome.STORED, detail)

    def overlooked(self, before: datetime) -> list[WebhookCall]:
        """The calls that should have come: about incidents that ask for a retraining and have got none.

        Who only observes misses none, nor does who lets no call start anything.

        Args:
            before: only what was decided by then; later ones may still be on their way.

        Raises:
            OutsideError: if a table cannot be read.
        """
        if self._mode == "observe" or not self._rules:
            return []
        columns = "alert_id, incident_id, model, sequence, state, action, decided_time"
        latest: dict[str, Mapping[str, Any]] = {}
        for row in sorted(self._tables.read("alerts", f"SELECT {columns} FROM t"), key=lambda row: row["sequence"]):
            latest[row["incident_id"]] = row
        begun = self._begun()
        with self._lock:
            return [
                WebhookCall(
                    call_key(row["alert_id"], RECONCILED), row["alert_id"], FIRED, RECONCILED, row["model"], incident_id
                )
                for incident_id, row in latest.items()
                if row["state"] == AlertState.CONFIRMED
                and row["action"] == Action.RETRAIN
                and row["decided_time"] <= before
                and incident_id not in self._taken
                and incident_id not in begun
            ]

    def has_begun(self, call: WebhookCall) -> bool:
        """Whether the table ``retrainings`` knows one for this incident, whoever started it."""
        return call.incident_id in self._begun()

    def why_not(self, call: WebhookCall) -> str | None:
        """Why the table ``alerts`` does not ask for this retraining (any more); None if it does."""
        rows = self._tables.read("alerts", "SELECT incident_id, model, sequence, state, action FROM t")
        mine = [row for row in rows if row["incident_id"] == call.incident_id and row["model"] == call.model]
        if not mine:
            return "no incident of this id and model is known"
        latest = max(mine, key=lambda row: row["sequence"])
        if latest["state"] != AlertState.CONFIRMED:
            return f"the incident is {latest['state']}, not confirmed"
        if latest["action"] != Action.RETRAIN:
            return f"the incident asks for {latest['action']}, not for a retraining"
        return None

    def record(self, call: WebhookCall, outcome: Outcome, run_id: str | None, detail: str) -> None:
        """Write what came of a stored call.

        Raises:
            OutsideError: if the table cannot be written.
        """
        with self._lock:
            if (call.call_id, outcome.value, detail) not in self._written:
                self._record(RETRAINING, call, outcome, run_id, detail)
                self._write(call, outcome, run_id, detail)
            self._remember(call, outcome)

    def _begun(self) -> set[str]:
        return {row["incident_id"] for row in self._tables.read("retrainings", "SELECT incident_id FROM t")}

    def _judge(self, call: WebhookCall) -> tuple[Outcome, str]:
        if call.condition != FIRED:
            return Outcome.IGNORED, "only a call that fired starts a retraining"
        if call.alert_rule not in (*self._rules, RECONCILED):
            return Outcome.IGNORED, "the alert rule is not in webhook.rules"
        reason = self.why_not(call)
        if reason is not None:
            return Outcome.IGNORED, reason
        if call.incident_id in self._taken:
            return (
                Outcome.DUPLICATE,
                f"call {self._taken[call.incident_id]} has taken up the retraining of this incident",
            )
        if self.has_begun(call):
            return Outcome.DUPLICATE, HAS_BEGUN
        return _LEADS_TO[self._mode]

    def _record(self, action: str, call: WebhookCall, outcome: Outcome, run_id: str | None, detail: str) -> None:
        if self._trail is not None:
            self._trail.record(**audit_decision(action, call, outcome, run_id, detail))

    def _write(self, call: WebhookCall, outcome: Outcome, run_id: str | None, detail: str) -> None:
        self._tables.append("webhook_calls", [call_row(call, outcome, run_id, detail, self._now())])
        self._written.add((call.call_id, outcome.value, detail))

    def _remember(self, call: WebhookCall, outcome: Outcome) -> None:
        self._known[call.call_id] = outcome
        if outcome in ENDED:
            self._waiting.pop(call.call_id, None)
        elif outcome is Outcome.PROPOSED and self._mode != "auto":
            self._proposed[call.incident_id] = call
        else:
            self._waiting[call.call_id] = call
            self._proposed.pop(call.incident_id, None)
        if outcome in _TAKEN:
            self._taken[call.incident_id] = call.call_id
        elif outcome is Outcome.IGNORED and self._taken.get(call.incident_id) == call.call_id:
            del self._taken[call.incident_id]

    def _recall(self) -> None:
        rows = self._tables.read("webhook_calls")
        for row in sorted(rows, key=in_order):
            self._written.add((row["call_id"], row["outcome"], row["detail"]))
            self._remember(call_from_row(row), Outcome(row["outcome"]))
