"""What is written about a call, in ``webhook_calls`` and in the audit trail, and how it is read back. Pure."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pegel.alerts.webhook.call import RECONCILED, SIGNED, WebhookCall


class Outcome(StrEnum):
    """What came of a call."""

    PROPOSED = "proposed"
    STORED = "stored"
    STARTED = "started"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    FAILED = "failed"


CALL, RETRAINING, APPROVAL = "webhook.call", "retraining.start", "retraining.approve"
"""What is decided: whether a call is taken, whether the retraining that it asks for starts, and whether it may."""

_DECISIONS = {
    (CALL, Outcome.STORED): "accepted",
    (RETRAINING, Outcome.IGNORED): "skipped",
    (APPROVAL, Outcome.STORED): "approved",
}
"""Where the word of the audit trail is another one than the table's."""

ENDED = (Outcome.STARTED, Outcome.DUPLICATE, Outcome.IGNORED)
"""After these nothing more comes of a call."""


def audit_decision(action: str, call: WebhookCall, outcome: Outcome, run_id: str | None, detail: str) -> dict[str, Any]:
    """What the audit trail is told, as keywords of its ``record`` and ``put``."""
    evidence = {
        "call_id": call.call_id,
        "azure_alert_id": call.azure_alert_id,
        "alert_rule": call.alert_rule,
        "condition": call.condition,
        "model": call.model,
        "run_id": run_id,
    }
    return {
        "actor": _actor(action, call),
        "action": action,
        "subject": f"incident {call.incident_id}",
        "decision": _DECISIONS.get((action, outcome), outcome.value),
        "reason": detail,
        "evidence": evidence,
    }


def in_order(row: Mapping[str, Any]) -> tuple[datetime, int]:
    """Sorts rows of one call by time; of one moment, a proposal comes first and what ends the call last."""
    outcome = Outcome(row["outcome"])
    return row["received_at"], 0 if outcome is Outcome.PROPOSED else 1 + (outcome in ENDED)


def _actor(action: str, call: WebhookCall) -> str:
    if action == APPROVAL:
        return "a person with an approver's secret"
    if action == RETRAINING:
        return "the webhook"
    named = {SIGNED: "a caller with a secret", RECONCILED: "the reconciler"}
    return named.get(call.alert_rule, f"the action group of rule {call.alert_rule}")


def call_row(
    call: WebhookCall, outcome: Outcome, run_id: str | None, detail: str, received_at: datetime
) -> dict[str, Any]:
    """The row of ``webhook_calls`` that says what came of a call."""
    return {
        "call_id": call.call_id,
        "received_at": received_at,
        "azure_alert_id": call.azure_alert_id,
        "condition": call.condition,
        "alert_rule": call.alert_rule,
        "model": call.model,
        "incident_id": call.incident_id,
        "outcome": outcome.value,
        "run_id": run_id,
        "detail": detail,
    }


def call_from_row(row: Mapping[str, Any]) -> WebhookCall:
    """The call that a row of ``webhook_calls`` is about."""
    names = ("call_id", "azure_alert_id", "condition", "alert_rule", "model", "incident_id")
    return WebhookCall(*(row[name] for name in names))
