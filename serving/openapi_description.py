"""What the routes take and refuse, for those that read their bodies themselves. Pure."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from pegel.serving.authentication import KEY_HEADER
from pegel.serving.http_answers import JSON
from pegel.serving.requests import BatchRequest, Delta, FeedbackRequest, PredictRequest, Problem

EVENT_STREAM = "text/event-stream"

_REF = "#/components/schemas/"
_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    "EntraToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
_RETRY_AFTER = {"Retry-After": {"description": "in so many seconds", "schema": {"type": "integer", "minimum": 1}}}
_WORDS = {
    400: "the service behind the model refuses the text",
    401: "nothing proves who asks",
    403: "the usage policy forbids it",
    408: "the body took too long to arrive",
    413: "a text, the body or the number of texts is too large",
    415: "the body is no JSON",
    422: "the body is no such request",
    429: "the caller's limit is reached, or that of the service behind the model",
    500: "the model failed",
    502: "the service behind the model refuses Pegel",
    503: "no champion is loaded, or too much is under way",
    504: "there was no answer in time",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, as FastAPI takes them."""
    made: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        made[status] = {"model": Problem, "description": _WORDS[status]}
        if status in (429, 503):
            made[status]["headers"] = _RETRY_AFTER
    return made


def takes(*models: str) -> dict[str, Any]:
    """The body of a route, and that it needs a caller.

    Args:
        models: names of schemas; the body is one of them.
    """
    refs = [{"$ref": _REF + model} for model in models]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "security": [{name: []} for name in _SCHEMES],
    }


def an_event() -> dict[str, Any]:
    """One of the events of a stream; before OpenAPI 3.2 the schema of a stream is that of its items."""
    kinds = {"delta": "Delta", "answer": "PredictAnswer", "problem": "Problem"}
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "event": {"const": kind},
                    "data": {"type": "string", "contentMediaType": JSON, "contentSchema": {"$ref": _REF + model}},
                },
                "required": ["event", "data"],
            }
            for kind, model in kinds.items()
        ]
    }


def describe(app: FastAPI) -> None:
    """Add the schemas of bodies and events, and how callers are known, to the description of an application."""
    plain = app.openapi
    _, added = models_json_schema(
        [(model, "validation") for model in (PredictRequest, BatchRequest, FeedbackRequest, Delta)],
        ref_template=_REF + "{model}",
    )

    def described() -> dict[str, Any]:
        description = plain()
        components = description.setdefault("components", {})
        components["schemas"] = added["$defs"] | components.get("schemas", {})
        components["securitySchemes"] = _SCHEMES
        return description

    app.openapi = described  # type: ignore[method-assign]
