"""The retrainings that a model had, and what they hold back. Edge: reads ``webhook_calls`` and ``retrainings``."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pegel.alerts.retraining.guards import ENDED, STARTED, Guards, Hold, hold
from pegel.alerts.webhook.call import WebhookCall
from pegel.alerts.webhook.call_records import Outcome
from pegel.tables.delta import DeltaTables


class PastRetrainings:
    """What the tables know of past retrainings.

    Args:
        tables: where ``webhook_calls`` and ``retrainings`` are read.
        guards: the bounds.
        now: the clock.
    """

    def __init__(
        self, tables: DeltaTables, guards: Guards, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tables = tables
        self._guards = guards
        self._now = now

    def hold(self, call: WebhookCall) -> Hold | None:
        """What holds the retraining of a call back; its own, if it has started before, does not.

        Raises:
            OutsideError: if a table cannot be read.
        """
        calls = self._of("webhook_calls", "outcome, received_at", call)
        states = self._of("retrainings", "state, at", call)
        # A run that was started writes its first row some minutes later, and one on a schedule has no call.
        starts = _newest(
            *((row["incident_id"], row["received_at"]) for row in calls if row["outcome"] == Outcome.STARTED),
            *((row["incident_id"], row["at"]) for row in states if row["state"] == STARTED),
        )
        ends = _newest(*((row["incident_id"], row["at"]) for row in states if row["state"] in ENDED))
        # Another attempt may have begun since.
        ends = {incident: at for incident, at in ends.items() if at >= starts.get(incident, at)}
        return hold(starts, ends, self._now(), self._guards)

    def _of(self, table: str, columns: str, call: WebhookCall) -> list[Mapping[str, Any]]:
        rows = self._tables.read(table, f"SELECT incident_id, model, {columns} FROM t")
        return [row for row in rows if row["model"] == call.model and row["incident_id"] != call.incident_id]


def _newest(*times: tuple[str, datetime]) -> dict[str, datetime]:
    """Incident -> the newest of its times; rows come in no order, and an incident may have several attempts."""
    found: dict[str, datetime] = {}
    for incident, at in times:
        found[incident] = max(at, found.get(incident, at))
    return found
