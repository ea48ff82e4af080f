"""What the webhook takes and answers, as OpenAPI says it. Published nowhere: tests hold the webhook to it. Pure."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pegel.alerts.webhook.call import APPROVAL_TYPE, ESSENTIALS, LONGEST_FIELD, LONGEST_NAME, SCHEMA_ID
from pegel.alerts.webhook.call_records import Outcome
from pegel.alerts.webhook.silencing import WISH_TYPE
from pegel.schemas.alert_stream import TYPE_PREFIX
from pegel.schemas.silences import LONGEST, Wish


class Taken(BaseModel):
    """The call was taken; what came of it."""

    outcome: Outcome
    detail: str


class Refused(BaseModel):
    """The call was not taken; why."""

    detail: str


class Health(BaseModel):
    """The webhook answers; how many calls have not started their retraining yet."""

    status: str
    waiting: int


_WORDS = {
    400: "the body is no common alert",
    401: "the token or the signature proves nothing",
    403: "the token is for somebody else",
    408: "the body took too long to arrive",
    409: "it cannot be approved, ended or acknowledged",
    413: "the body is too large",
    503: "the call could not be taken now",
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Taken, "description": "the call was taken before"},
    **{status: {"model": Refused, "description": words} for status, words in _WORDS.items()},
}

_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_FIELD}
_ESSENTIALS = {"type": "object", "required": list(ESSENTIALS), "properties": dict.fromkeys(ESSENTIALS, _TEXT)}
_CALL = {
    "type": "object",
    "required": ["schemaId", "data"],
    "properties": {
        "schemaId": {"const": SCHEMA_ID},
        "data": {"type": "object", "required": ["essentials"], "properties": {"essentials": _ESSENTIALS}},
    },
}

_NAMES = ("alert_id", "incident_id", "model")
_EVENT = {
    "type": "object",
    "required": ["type", "data"],
    "properties": {
        "type": {"type": "string", "pattern": f"^{TYPE_PREFIX.replace('.', '[.]')}"},
        "data": {"type": "object", "required": list(_NAMES), "properties": dict.fromkeys(_NAMES, _TEXT)},
    },
}


_BY = {**_TEXT, "maxLength": LONGEST_NAME}
_APPROVAL = {
    "type": "object",
    "required": ["type", "data"],
    "properties": {
        "type": {"const": APPROVAL_TYPE},
        "data": {"type": "object", "required": ["incident_id", "by"], "properties": {"incident_id": _TEXT, "by": _BY}},
    },
}


_WISH = {
    "type": "object",
    "required": ["type", "data"],
    "properties": {
        "type": {"const": WISH_TYPE},
        "data": {
            "type": "object",
            "required": ["wish", "silence_id", "by", "reason"],
            "properties": {
                "wish": {"enum": [wish.value for wish in Wish]},
                "silence_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                "by": _BY,
                "reason": _TEXT,
                "seconds": {"type": "number", "minimum": 60, "maximum": LONGEST.total_seconds()},
                **dict.fromkeys(("model", "rule", "incident_id"), _TEXT),
            },
        },
    },
}


def _takes(schema: dict[str, Any], scheme: str) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body, "security": [{scheme: []}]}


TAKES, EVENT, APPROVED = (
    _takes(_CALL, "EntraToken"), _takes(_EVENT, "StandardWebhooks"), _takes(_APPROVAL, "StandardWebhooks"),
)  # fmt: skip
SILENCED = _takes(_WISH, "StandardWebhooks")
"""What the doors take."""


def describe(app: FastAPI) -> None:
    """Add how the caller is known to the description of the application."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        description = plain()
        schemes = {
            "EntraToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "StandardWebhooks": {"type": "apiKey", "in": "header", "name": "webhook-signature"},
        }
        description.setdefault("components", {})["securitySchemes"] = schemes
        return description

    app.openapi = described  # type: ignore[method-assign]
