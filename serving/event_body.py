"""The JSON of a prediction event, whatever a model adds to it. Pure.

A model's code may give fields of the wrong type, names that are not its own, or texts that are no Unicode. Identity and
content come from the call alone; what else cannot be written is left out, so that the event of an answer that was given
is never lost.
"""

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from pegel.schemas.events import MAX_EVENT_BYTES, PredictionEvent
from pegel.schemas.model_io import Answer
from pegel.schemas.usage_policy import Judgement
from pegel.serving.call import Call

_log = logging.getLogger(__name__)

_NAMES = frozenset(PredictionEvent.model_fields) | {
    field.alias for field in PredictionEvent.model_fields.values() if field.alias
}
_OF_A_MODEL = frozenset(
    {"prompt_version", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"}
)
MAX_ADDED = 64
MAX_ADDED_CHARACTERS = 8_000


def event_body(call: Call, answer: Answer | None, error_type: str | None, judged: Judgement | None) -> bytes:
    """The event of a prediction.

    Args:
        call: what was asked.
        answer: what the model said; None if nothing.
        error_type: why the caller got no answer; None if it got one.
        judged: what the usage policy made of the answer.
    """
    added: dict[str, Any] = {}
    certain: dict[str, Any] = {
        "event_id": call.event_id,
        "event_time": call.event_time,
        "model_name": call.model,
        "model_version": call.version,
        "input": call.text,
        "segments": call.segments,
        "latency_ms": call.latency_ms,
        "error_type": error_type,
        "trace_id": call.trace_id,
        "caller": call.caller,
        "purpose": call.purpose,
    }
    if judged is not None and judged.review is not None:
        certain |= {"review": judged.review.value, "review_rules": list(judged.rules)}
    if answer is not None:
        added = _clean(answer.event_fields) | {"features": answer.features}
        certain |= {
            "output": unicode_text(answer.output) if answer.failure is None else None,
            "probabilities": finite(answer.probabilities),
        }
    return _written(certain, added, call.event_id)


def unicode_text(text: str) -> str:
    r"""The text with a question mark for each half of a surrogate pair, which no JSON in UTF-8 can hold.

    Example:
        >>> unicode_text("a\ud800b")
        'a?b'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def finite(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Those probabilities that are numbers."""
    return {
        unicode_text(str(name)): float(value)
        for name, value in probabilities.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }


def _clean(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a model may add, if it can be written as JSON and is no more than a few lines."""
    kept: dict[str, Any] = {}
    for name, value in list(fields.items())[:MAX_ADDED]:
        if not isinstance(name, str) or (name in _NAMES and name not in _OF_A_MODEL):
            continue
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            continue
        if len(text) <= MAX_ADDED_CHARACTERS:
            kept[unicode_text(name)] = json.loads(unicode_text(text))
    return kept


def _written(certain: Mapping[str, Any], added: Mapping[str, Any], event_id: str) -> bytes:
    fields = {**added, **certain}
    try:
        try:
            event = PredictionEvent.model_validate(fields)
        except ValidationError as error:
            wrong = {str(one["loc"][0]) for one in error.errors(include_input=False)}
            _log.warning("the event %s goes without fields of a wrong type: %s", event_id, ", ".join(sorted(wrong)))
            event = PredictionEvent.model_validate({k: v for k, v in fields.items() if k not in wrong or k in certain})
        body = event.model_dump_json(exclude_none=True).encode()
        if len(body) <= MAX_EVENT_BYTES:
            return body
        reason = f"{len(body)} bytes"
    except (ValidationError, PydanticSerializationError, RecursionError, UnicodeError) as error:
        reason = type(error).__name__
    _log.warning("the event %s goes without what its model added: %s", event_id, reason)
    return PredictionEvent.model_validate(certain).model_dump_json(exclude_none=True).encode()
