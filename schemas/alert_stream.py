"""An alert as Azure Monitor sees it: the columns of the stream of the data collection rule. Pure.

Source of the limits: Logs Ingestion API, custom table columns (letters, digits and underscores, at most 45 of them;
``Title`` and ``id`` are reserved, so that the title is called ``summary`` here) and field values of at most 64 KB.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

TABLE = "PegelAlerts_CL"
"""The table that the stream ends in; alert rules query it."""

TYPE_PREFIX = "pegel.alert."
"""Where an alert is sent as an event, its type is this and the state."""

COLUMNS: dict[str, str] = {
    "TimeGenerated": "datetime",
    "alert_id": "string",
    "incident_id": "string",
    "sequence": "int",
    "state": "string",
    "rule": "string",
    "model": "string",
    "version": "string",
    "segment": "string",
    "column": "string",
    "severity": "int",
    "action": "string",
    "value": "real",
    "threshold": "real",
    "effect": "real",
    "p_value": "real",
    "n": "long",
    "calibrated": "boolean",
    "since": "datetime",
    "decided_time": "datetime",
    "summary": "string",
    "message": "string",
    "runbook": "string",
    "audit_heads": "string",
    "cause": "string",
    "owner": "string",
}
"""Column -> its type in a stream declaration."""

MAX_FIELD_CHARACTERS = 4_000
"""So that one row stays below the limit of a call even if every character takes twelve bytes, as JSON may write it."""

_RENAMED = {"TimeGenerated": "decided_time", "summary": "title"}


def to_stream_row(alert: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``alerts`` as a JSON object: times as ISO-8601 in UTC, no NaN and no infinity, since JSON has neither.

    The dispatcher adds to the row ``audit_heads``, the heads of all audit chains at that moment as JSON, and
    ``told_at``, when it is sent, if that is hours after ``decided_time``: rules look back by ``TimeGenerated``.

    Example:
        >>> decided = datetime(2026, 1, 2, tzinfo=UTC)
        >>> row = to_stream_row({"alert_id": "a", "p_value": float("nan"), "decided_time": decided})
        >>> row["TimeGenerated"], row["p_value"], row["alert_id"]
        ('2026-01-02T00:00:00Z', None, 'a')
    """
    row = {name: _json_value(alert.get(_RENAMED.get(name, name))) for name in COLUMNS}
    told_at = alert.get("told_at")
    return row if told_at is None else {**row, "TimeGenerated": _json_value(told_at)}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8.
        return value[:MAX_FIELD_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return value
