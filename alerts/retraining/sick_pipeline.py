"""Whether a retraining has to wait until the pipeline is well: what it would learn from may be spoilt. Edge.

Drift that is seen while the pipeline is sick is inhibited and asks for nothing; a retraining that was asked for
before is held back here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pegel.alerts.incident import PIPELINE
from pegel.alerts.retraining.guards import Hold
from pegel.alerts.webhook.call import WebhookCall
from pegel.schemas.policy import Action, AlertState
from pegel.tables.delta import DeltaTables

_ASKED = "SELECT incident_id, sequence, state, rule, model, action FROM t WHERE version = ''"
"""Only incidents about the pipeline, or about what comes to it, are of no version."""

_UNKNOWN = datetime.max.replace(tzinfo=UTC)


class SickPipeline:
    """What the table ``alerts`` knows of faults of the pipeline that are not over.

    Args:
        tables: where ``alerts`` is read.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables

    def hold(self, call: WebhookCall) -> Hold | None:
        """What holds the retraining of a call back: an open incident about all of the pipeline or the call's model.

        Raises:
            OutsideError: if the table cannot be read.
        """
        last: dict[str, Mapping[str, Any]] = {}
        pages: set[str] = set()
        for row in sorted(self._tables.read("alerts", _ASKED), key=lambda row: row["sequence"]):
            last[row["incident_id"]] = row
            if row["action"] == Action.PAGE:
                pages.add(row["incident_id"])
        # What calls nobody holds nothing back, as in pipeline_incidents.
        for name in sorted(pages):
            fault = last[name]
            is_open = fault["state"] in (AlertState.OPENED, AlertState.CONFIRMED)
            if is_open and fault["model"] in (PIPELINE, call.model):
                return Hold(f"the pipeline is sick, see incident {name} of the rule {fault['rule']}", _UNKNOWN)
        return None
