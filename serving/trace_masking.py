"""What of a finished trace may leave the process: masked by the rules of the stream, and cut. Pure.

MLflow records more than the root of a trace: the spans of its OpenAI integration hold raw messages, headers and every
chunk of a stream, and its previews are cut before anybody could mask them, so that half a secret would be left. So a
trace is masked as a whole, here, and nothing that this module does not let through is stored:

- texts are masked with :func:`pegel.schemas.masking.mask`, then cut to :data:`MAX_CHARACTERS`, never before;
- headers and the chunks of a stream are left out, as a secret may lie across two chunks;
- previews are made again, from what is masked.
"""

import json
from typing import Any

from pegel.schemas.masking import mask
from pegel.serving.event_body import unicode_text

MAX_CHARACTERS = 4000
"""The most that is left of one text of a span."""
MAX_PREVIEW_CHARACTERS = 1000
"""What MLflow itself shows of a request or an answer in its list of traces."""
MAX_ATTRIBUTE_CHARACTERS = 50_000
"""An attribute that is longer after its texts were cut (an embedding, say) is replaced by its length."""

INPUTS = "mlflow.spanInputs"
OUTPUTS = "mlflow.spanOutputs"

LEFT_OUT_METADATA = ("mlflow.traceInputs", "mlflow.traceOutputs")
"""MLflow's own previews of the root, raw and cut."""

_LEFT_OUT_KEYS = ("extra_headers",)
_KEPT_EVENT = "exception"

Json = dict[str, Any]


def masked_trace(trace: Json) -> Json:
    """The same trace without what must not leave.

    Args:
        trace: what ``mlflow.entities.Trace.to_dict`` gives; span attributes are texts of JSON. It is left as it is.
    """
    spans = [_masked_span(span) for span in trace["data"]["spans"] if span.get("end_time_unix_nano")]
    return {"info": _masked_info(trace["info"], spans), "data": {**trace["data"], "spans": spans}}


def masked_text(text: str, limit: int = MAX_CHARACTERS) -> str:
    """A text, masked and then cut.

    Example:
        >>> masked_text("mail ada@example.org")
        'mail [email]'
        >>> masked_text("abcdefgh", 4)
        'abcd… (4 characters cut)'
    """
    masked = mask(unicode_text(text))
    return masked if len(masked) <= limit else f"{masked[:limit]}… ({len(masked) - limit} characters cut)"


def masked_json(text: str) -> str:
    """A text of JSON, masked and with its own texts cut; what is no JSON is a text.

    Example:
        >>> masked_json('{"password": "hunter2", "extra_headers": {"api-key": "x"}, "n": 3}')
        '{"password": "[secret]", "n": 3}'
    """
    try:
        # As a whole first: that the text is a password says only the name before it.
        value = json.loads(mask(text))
    except ValueError:
        return masked_text(text)
    made = json.dumps(_cut(value), ensure_ascii=False)
    return made if len(made) <= MAX_ATTRIBUTE_CHARACTERS else json.dumps(f"({len(made)} characters cut)")


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, dict):
        return {masked_text(k): _cut(v) for k, v in value.items() if k not in _LEFT_OUT_KEYS}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return value


def _masked_span(span: Json) -> Json:
    attributes = {
        masked_text(name): masked_json(value) if isinstance(value, str) else value
        for name, value in span["attributes"].items()
        if name not in _LEFT_OUT_KEYS
    }
    events = [
        {**event, "attributes": {name: masked_text(str(value)) for name, value in event["attributes"].items()}}
        for event in span["events"]
        if event["name"] == _KEPT_EVENT
    ]
    status = {**span["status"], "message": masked_text(span["status"].get("message") or "")}
    name = masked_text(span["name"])
    return {**span, "name": name, "attributes": attributes, "events": events, "status": status, "links": []}


def _masked_info(info: Json, spans: list[Json]) -> Json:
    root: Json = next((span["attributes"] for span in spans if not span.get("parent_span_id")), {})
    kept = {k: v for k, v in info.get("trace_metadata", {}).items() if k not in LEFT_OUT_METADATA}
    masked = {
        **info,
        "trace_metadata": {k: masked_text(v) for k, v in kept.items()},
        "tags": {k: masked_text(v) for k, v in info.get("tags", {}).items()},
        "request_preview": root.get(INPUTS, "")[:MAX_PREVIEW_CHARACTERS],
        "response_preview": root.get(OUTPUTS, "")[:MAX_PREVIEW_CHARACTERS],
    }
    if info.get("client_request_id"):
        masked["client_request_id"] = masked_text(info["client_request_id"])
    return masked
