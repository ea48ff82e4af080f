"""What a call says: an action group's common alert schema, or an alert of Pegel's own, read leniently. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pegel.errors import ContractError
from pegel.schemas.alert_stream import TYPE_PREFIX
from pegel.schemas.policy import AlertState

SCHEMA_ID = "azureMonitorCommonAlertSchema"
FIRED = "Fired"

ESSENTIALS = ("alertId", "monitorCondition", "alertRule")
"""What names a call; without them it is none."""

SIGNED = "signed:pegel"
"""Stands for the alert rule in calls that no rule made, since Pegel itself sent them. No rule of Azure has a colon."""
RECONCILED = "reconciled:alerts"
"""Stands for the alert rule where no call came and the table was looked at."""

APPROVAL_TYPE = "pegel.approval"
LONGEST_NAME = 100

LONGEST_FIELD = 1_000


class CallError(ContractError):
    """The body is not what an action group sends with the common alert schema."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call.

    Attributes:
        call_id: the same for every copy of the call, which action groups send when an answer was late. An alert fires
            once and resolves once, so its id and the condition name a call.
        model: the dimension of that name; empty if the alert has none, or two that differ.
        incident_id: likewise.
    """

    call_id: str
    azure_alert_id: str
    condition: str
    alert_rule: str
    model: str
    incident_id: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A person lets the retraining of an incident start; ``by`` is the name that the person gives."""

    incident_id: str
    by: str


def parse_call(body: bytes) -> WebhookCall:
    """Read a call; fields that are not needed may be missing, unknown or odd.

    Raises:
        CallError: if it is no common alert, or lacks what names it.
    """
    payload = _object(body)
    if payload.get("schemaId") != SCHEMA_ID:
        raise CallError(f"the body is not of schema {SCHEMA_ID}; turn the common alert schema on in the action group")
    data = _mapping(payload.get("data"))
    essentials = _mapping(data.get("essentials"))
    alert_id, condition, rule = (short_text(essentials, name, "data.essentials") for name in ESSENTIALS)
    dimensions = _dimensions(_mapping(data.get("alertContext")))
    model, incident_id = dimensions.get("model", ""), dimensions.get("incident_id", "")
    return WebhookCall(call_key(alert_id, condition), alert_id, condition, rule, model, incident_id)


def parse_event(body: bytes) -> WebhookCall:
    """Read an alert that Pegel's own webhook sink sent: one that is confirmed is a call that fired.

    Raises:
        CallError: if it is no such alert, or lacks what names it.
    """
    payload = _object(body)
    kind, data = payload.get("type"), _mapping(payload.get("data"))
    if not isinstance(kind, str) or not kind.startswith(TYPE_PREFIX):
        raise CallError(f"the body is not of a type {TYPE_PREFIX}…, as the sink webhook of pegel deliver sends them")
    alert_id, incident_id, model = (short_text(data, name, "data") for name in ("alert_id", "incident_id", "model"))
    state = kind.removeprefix(TYPE_PREFIX)
    if state not in set(AlertState):
        raise CallError(f"the type ends in no state of an incident: {', '.join(AlertState)}")
    condition = FIRED if state == AlertState.CONFIRMED else state
    return WebhookCall(call_key(alert_id, condition), alert_id, condition, SIGNED, model, incident_id)


def parse_approval(body: bytes) -> Approval:
    """Read an approval, as ``pegel approve`` sends it.

    Raises:
        CallError: if it is none, or does not say of what or by whom.

    Example:
        >>> parse_approval(b'{"type": "pegel.approval", "data": {"incident_id": "i1", "by": "Ada"}}')
        Approval(incident_id='i1', by='Ada')
    """
    data = read_object(body, APPROVAL_TYPE)
    incident_id, by = (short_text(data, name, "data") for name in ("incident_id", "by"))
    if not by.isprintable() or len(by) > LONGEST_NAME:
        raise CallError(f"data.by is no name of at most {LONGEST_NAME} printable characters")
    return Approval(incident_id, by)


def read_object(body: bytes, type_name: str) -> Mapping[str, Any]:
    """The ``data`` of what a person sends, if it is of that type.

    Raises:
        CallError: if the body is no JSON or of another type.
    """
    payload = _object(body)
    if payload.get("type") != type_name:
        raise CallError(f"the body is not of the type {type_name}, as pegel sends it")
    return _mapping(payload.get("data"))


def call_key(alert_id: str, condition: str) -> str:
    """The name of a call: of what fired or resolved, and that it did."""
    return hashlib.sha256(f"{alert_id}|{condition}".encode("utf-8", "replace")).hexdigest()[:32]


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise CallError("the body is not JSON") from None
    return _mapping(payload)


def short_text(within: Mapping[str, Any], name: str, where: str) -> str:
    """A text that has to be there, and is at most 1,000 characters long.

    Raises:
        CallError: if it is not.
    """
    value = within.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_FIELD:
        raise CallError(f"{where}.{name} is missing or not a short text")
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
