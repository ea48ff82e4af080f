"""What a call of an action group says: the common alert schema, read leniently. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pegel.errors import ContractError

SCHEMA_ID = "azureMonitorCommonAlertSchema"
FIRED = "Fired"

ESSENTIALS = ("alertId", "monitorCondition", "firedDateTime", "alertRule")
"""What names a call; without them it is none."""

LONGEST_FIELD = 1_000


class CallError(ContractError):
    """The body is not what an action group sends with the common alert schema."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call.

    Attributes:
        call_id: the same for every copy of the call, which action groups send when an answer was late.
        model: the dimension of that name; empty if the alert has none, or two that differ.
        incident_id: likewise.
    """

    call_id: str
    azure_alert_id: str
    condition: str
    alert_rule: str
    model: str
    incident_id: str


def parse_call(body: bytes) -> WebhookCall:
    """Read a call; fields that are not needed may be missing, unknown or odd.

    Raises:
        CallError: if it is no common alert, or lacks what names it.
    """
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise CallError("the body is not JSON") from None
    if not isinstance(payload, dict) or payload.get("schemaId") != SCHEMA_ID:
        raise CallError(f"the body is not of schema {SCHEMA_ID}; turn the common alert schema on in the action group")
    data = _mapping(payload.get("data"))
    essentials = _mapping(data.get("essentials"))
    alert_id, condition, fired_at, rule = (_short_text(essentials, name) for name in ESSENTIALS)
    dimensions = _dimensions(_mapping(data.get("alertContext")))
    return WebhookCall(
        hashlib.sha256(f"{alert_id}|{condition}|{fired_at}".encode("utf-8", "replace")).hexdigest()[:32],
        alert_id,
        condition,
        rule,
        dimensions.get("model", ""),
        dimensions.get("incident_id", ""),
    )


def _short_text(essentials: Mapping[str, Any], name: str) -> str:
    value = essentials.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_FIELD:
        raise CallError(f"data.essentials.{name} is missing or not a short text")
    # A lone surrogate is valid JSON and cannot be stored.
    return value.encode("utf-8", "replace").decode("utf-8")


def _dimensions(context: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _items(_mapping(context.get("condition")).get("allOf")):
        for dimension in _items(_mapping(part).get("dimensions")):
            name, value = _mapping(dimension).get("name"), _mapping(dimension).get("value")
            if isinstance(name, str) and isinstance(value, str) and len(value) <= LONGEST_FIELD:
                value = value.encode("utf-8", "replace").decode("utf-8")
                found[name] = value if found.get(name, value) == value else ""
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
