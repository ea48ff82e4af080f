"""From bytes to requests, and from outcomes to HTTP: status, headers, JSON. Pure."""

import math
from typing import Any, TypeVar

from fastapi import Response
from pydantic import TypeAdapter, ValidationError

from pegel.serving.call import Call
from pegel.serving.refusal import Reason, Refusal, RefusedError
from pegel.serving.requests import (
    BatchAnswer,
    BatchRequest,
    FeedbackRequest,
    ItemProblem,
    PredictAnswer,
    PredictRequest,
    Problem,
)

JSON = "application/json"
_UNION_LABELS = ("PredictRequest", "BatchRequest")
_Parsed = TypeVar("_Parsed")

_PREDICT: TypeAdapter[PredictRequest | BatchRequest] = TypeAdapter(PredictRequest | BatchRequest)
_FEEDBACK = TypeAdapter(FeedbackRequest)


def parse_predict(body: bytes, content_type: str) -> PredictRequest | BatchRequest:
    """Read the body of ``/predict``.

    Raises:
        RefusedError: 415 or 422.
    """
    return _parse(_PREDICT, body, content_type)


def parse_feedback(body: bytes, content_type: str) -> FeedbackRequest:
    """Read the body of ``/feedback``.

    Raises:
        RefusedError: 415 or 422.
    """
    return _parse(_FEEDBACK, body, content_type)


def refused(refusal: Refusal) -> Response:
    """A refusal as an answer."""
    return Response(_problem_json(refusal), refusal.status, headers_of(refusal), JSON)


def headers_of(refusal: Refusal) -> dict[str, str]:
    """The headers that go with a refusal: when to come back, and what to come with."""
    headers = {}
    if refusal.retry_after_s is not None and refusal.status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after_s)))
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'ApiKey realm="pegel", Bearer'
    return headers


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as the caller reads it."""
    return Problem(detail=refusal.detail, reason=refusal.reason, event_id=refusal.event_id, rule=refusal.rule)


def answered(call: Call) -> Response:
    """The answer to one text."""
    if isinstance(call.outcome, PredictAnswer):
        return Response(call.outcome.model_dump_json(), media_type=JSON)
    return refused(_settled(call))


def answered_all(calls: list[Call]) -> Response:
    """The answers to several texts, in order; those that have none say why."""
    items: list[PredictAnswer | ItemProblem] = []
    for call in calls:
        if isinstance(call.outcome, PredictAnswer):
            items.append(call.outcome)
        else:
            refusal = _settled(call)
            items.append(ItemProblem(**problem_of(refusal).model_dump(), status=refusal.status))
    return Response(BatchAnswer(answers=items).model_dump_json(), media_type=JSON)


def _settled(call: Call) -> Refusal:
    if isinstance(call.outcome, Refusal):
        return call.outcome
    # Between two threads that both want to settle, the one that was second may look before the first is done.
    return Refusal(504, Reason.TIMEOUT.value, "the answer came too late; come again", call.event_id)


def _problem_json(refusal: Refusal) -> str:
    return problem_of(refusal).model_dump_json(exclude_none=True)


def _parse(adapter: TypeAdapter[_Parsed], body: bytes, content_type: str) -> _Parsed:
    if content_type.partition(";")[0].strip().lower() != JSON:
        # A page of another site can send plain text without being asked, and JSON only if it is allowed to.
        detail = f"the body has to be JSON; send the header Content-Type: {JSON}"
        raise RefusedError(Refusal(415, Reason.NOT_A_REQUEST.value, detail))
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise RefusedError(Refusal(422, Reason.NOT_A_REQUEST.value, _explain(error))) from None


def _explain(error: ValidationError) -> str:
    found: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    batch = [one for one in found if one["loc"][:1] == ("BatchRequest",)]
    # Whoever sends `inputs` means several, so what is wrong with it as a single text says nothing.
    if batch and not any(one["loc"] == ("BatchRequest", "inputs") and one["type"] == "missing" for one in batch):
        found = batch
    first = found[0]
    where = ".".join(str(part) for part in first["loc"] if part not in _UNION_LABELS)
    return f"the body is no such request at {where or 'its top'}: {first['msg']}"
