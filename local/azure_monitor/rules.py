"""Log search alert rules with a state per dimension set: fire once, resolve when the row is gone. Pure.

The service resolves only after some minutes without the row; here it resolves at the next evaluation.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel.local.azure_monitor.kql import Query, Rows

FIRED = "Fired"
RESOLVED = "Resolved"

LOOK_BACK = timedelta(days=2)
"""The longest that a log search alert rule looks back, by ``TimeGenerated``; the shipped rules do."""

_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Transition:
    """A rule fired or resolved for one dimension set."""

    at: datetime
    rule: str
    condition: str
    dimensions: tuple[tuple[str, str], ...]
    azure_alert_id: str
    fired_at: datetime

    @property
    def incident_id(self) -> str:
        """Value of the dimension ``incident_id``."""
        return dict(self.dimensions).get("incident_id", "")


@dataclass(slots=True)
class AlertRule:
    """One stateful rule.

    Attributes:
        query: any row that it leaves fires.
        text: the query as it was written.
        dimensions: columns that split its rows into alerts.
        calls: URLs that its action group posts to.
    """

    name: str
    query: Query
    text: str
    severity: int
    dimensions: tuple[str, ...]
    calls: tuple[str, ...] = ()
    _active: dict[tuple[str, ...], tuple[str, datetime]] = field(default_factory=dict)

    def evaluate(self, rows: Rows, now: datetime) -> list[Transition]:
        """What changed since the evaluation before."""
        seen = [row for row in rows if now - row["TimeGenerated"] <= LOOK_BACK]
        found = {tuple(str(row[name]) for name in self.dimensions) for row in self.query.run(seen)}
        changes = []
        for values in sorted(found - set(self._active)):
            # Named after what fired and when, so that two alerts never share a name.
            name = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.name}|{'|'.join(values)}|{now.isoformat()}")
            alert = f"/subscriptions/{_SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{name}"
            self._active[values] = (alert, now)
            changes.append(self._transition(FIRED, values, now))
        for values in sorted(set(self._active) - found):
            changes.append(self._transition(RESOLVED, values, now))
            del self._active[values]
        return changes

    def _transition(self, condition: str, values: tuple[str, ...], now: datetime) -> Transition:
        alert, fired_at = self._active[values]
        return Transition(now, self.name, condition, tuple(zip(self.dimensions, values, strict=True)), alert, fired_at)


def common_alert(rule: AlertRule, transition: Transition, window_start: datetime) -> dict[str, Any]:
    """The payload that an action group posts: the common alert schema of a log search alert, version 2."""
    essentials = {
        "alertId": transition.azure_alert_id,
        "alertRule": rule.name,
        "severity": f"Sev{rule.severity}",
        "signalType": "Log",
        "monitorCondition": transition.condition,
        "monitoringService": "Log Alerts V2",
        "alertTargetIDs": [f"/subscriptions/{_SUBSCRIPTION}/resourcegroups/pegel/providers/workspaces/local"],
        "originAlertId": transition.azure_alert_id.rsplit("/", 1)[-1],
        "firedDateTime": _seven_digits(transition.fired_at),
        "description": "",
        "essentialsVersion": "1.0",
        "alertContextVersion": "1.0",
    }
    condition = {
        "windowSize": "PT5M",
        "allOf": [
            {
                "searchQuery": rule.text,
                "metricMeasureColumn": None,
                "targetResourceTypes": "['Microsoft.OperationalInsights/workspaces']",
                "operator": "GreaterThan",
                "threshold": "0",
                "timeAggregation": "Count",
                "dimensions": [{"name": name, "value": value} for name, value in transition.dimensions],
                "metricValue": 1.0 if transition.condition == FIRED else 0.0,
                "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
            }
        ],
        "windowStartTime": _seven_digits(window_start),
        "windowEndTime": _seven_digits(transition.at),
    }
    context = {"properties": None, "conditionType": "LogQueryCriteria", "condition": condition}
    data: Mapping[str, Any] = {"essentials": essentials, "alertContext": context, "customProperties": None}
    return {"schemaId": "azureMonitorCommonAlertSchema", "data": data}


def _seven_digits(moment: datetime) -> str:
    """The service writes up to seven digits of a second, one more than Python knows."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
