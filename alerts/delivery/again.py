"""A person has an alert that was given up sent again: who asked is recorded, then it waits once more. Edge.

For the one process that delivers, before its first step.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pegel.alerts.delivery.outbox import SOURCES, DeliveryState
from pegel.errors import PegelError
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables


class NotGivenUpError(PegelError):
    """An alert that shall be sent again was never given up, or is not known."""


def let_wait_again(
    tables: DeltaTables, alert_id: str, sinks: Sequence[str], *, by: str, now: datetime, trail: AuditTrail
) -> list[str]:
    """Let an alert wait for each sink that it was given up for.

    It is sent in spite of silences. Repeating it before the alert was sent, after a crash or by mistake, changes
    nothing but the audit trail.

    Args:
        tables: where ``alerts``, ``pipeline_alerts`` and ``deliveries`` lie.
        alert_id: the alert; it may be of an incident that is over.
        sinks: those that the settings name.
        by: who asks.
        now: aware UTC.
        trail: where it is recorded before the alert waits.

    Returns:
        the sinks that it waits for.

    Raises:
        NotGivenUpError: if no alert has this id, or it was not given up for any of these sinks.
        OutsideError: if the record or a table fails; say it again.
    """
    known = (row["alert_id"] for table in SOURCES for row in tables.read(table, "SELECT alert_id FROM t"))
    if alert_id not in known:
        msg = f"no alert has the id {alert_id!r}, so it cannot be sent again; pegel explain and its incident names it"
        raise NotGivenUpError(msg)
    newest: dict[str, Mapping[str, Any]] = {}
    for row in sorted(tables.read("deliveries"), key=lambda row: row["at"]):
        # A silence may have kept its repeats back since it was given up.
        withheld = row["state"] == DeliveryState.WITHHELD and row["sink"] in newest
        if row["alert_id"] == alert_id and row["sink"] in sinks and not withheld:
            newest[row["sink"]] = row
    given_up = [row for row in newest.values() if row["state"] in (DeliveryState.DEAD, DeliveryState.AGAIN)]
    if not given_up:
        last = ", ".join(f"{sink}: {row['state']}" for sink, row in newest.items()) or "it waits for its first attempt"
        msg = f"alert {alert_id} was not given up, so it cannot be sent again ({last}); only a dead one can"
        raise NotGivenUpError(msg)
    names = [row["sink"] for row in given_up]
    trail.record(
        actor=f"the user {by}",
        action="alert.deliver",
        subject=f"alert {alert_id}",
        decision="send again",
        reason="a person asked for it",
        evidence={"sinks": names, "given_up": {row["sink"]: row["at"].isoformat() for row in given_up}},
    )
    rows = [_again(row, by, now) for row in given_up if row["state"] == DeliveryState.DEAD]
    tables.append("deliveries", rows)
    return names


def _again(dead: Mapping[str, Any], by: str, now: datetime) -> dict[str, Any]:
    names = {name: dead[name] for name in ("alert_id", "sink", "attempt")}
    return {**names, "state": DeliveryState.AGAIN.value, "at": max(now, dead["at"]), "detail": f"asked for by {by}"}
