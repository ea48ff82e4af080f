"""The events that come in: their fields, versions and the reasons to refuse one. Pure.

Names follow the OpenTelemetry GenAI conventions where these have one (``gen_ai.request.model``,
``gen_ai.usage.input_tokens``, ``error.type``). An event is one JSON object in UTF-8. Fields that a version does not
know are kept in ``extra``. Times are RFC 3339 with an offset, e.g. ``2026-11-25T03:00:00.123456Z``.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
MAX_EVENT_BYTES = 1_048_576
"""The hub's own limit for one event."""

MAX_IDENTIFIER_CHARACTERS = 128
MAX_TOKENS = 10**12
"""A token count is 0 to this: a million of them still add up in 64 bits."""

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER_CHARACTERS)]
Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class PredictionEvent(BaseModel):
    """A prediction that a model made. ``event_id`` is made by the producer; a copy carries the same id and time."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, serialize_by_alias=True, frozen=True)

    schema_version: Literal[1] = 1
    event_type: Literal["prediction"] = "prediction"
    event_id: Identifier
    event_time: AwareDatetime
    model_name: Identifier
    model_version: Identifier
    prompt_version: str | None = None
    input: str | None = None
    features: dict[str, float | int | str | bool | None] = Field(default_factory=dict)
    output: str | None = None
    probabilities: dict[str, float] = Field(default_factory=dict)
    segments: dict[str, str] = Field(default_factory=dict)
    latency_ms: float | None = None
    error_type: str | None = Field(default=None, alias="error.type")
    request_model: str | None = Field(default=None, alias="gen_ai.request.model")
    input_tokens: Tokens | None = Field(default=None, alias="gen_ai.usage.input_tokens")
    output_tokens: Tokens | None = Field(default=None, alias="gen_ai.usage.output_tokens")
    trace_id: str | None = None


class FeedbackEvent(BaseModel):
    """What became known about an earlier prediction. It carries that prediction's event time, so it finds it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: Literal[1] = 1
    event_type: Literal["feedback"] = "feedback"
    feedback_id: Identifier
    event_id: Identifier
    prediction_time: AwareDatetime
    feedback_time: AwareDatetime
    kind: Literal["label", "rating", "judgement"] = "label"
    label: str | None = None
    score: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class EventField:
    """How a field of the JSON reaches its column.

    Attributes:
        json: its name in the event.
        column: its name in the table.
        type: its Spark type.
        required: whether an event without it is refused.
        default: what it is if the event leaves it out.
        values: what a map may hold: ``string``, ``number``, or ``scalar`` (those, booleans and null).
        allowed: the texts that it may be; empty means any.
    """

    json: str
    column: str
    type: str
    required: bool = False
    default: str | None = None
    values: str = ""
    allowed: tuple[str, ...] = ()


STRING = "string"
NUMBER = "number"
SCALAR = "scalar"

LABEL = "label"
"""The kind of feedback that says what the right output would have been."""

PREDICTION_FIELDS = (
    EventField("event_id", "event_id", "string", required=True),
    EventField("event_time", "event_time", "timestamp", required=True),
    EventField("model_name", "model", "string", required=True),
    EventField("model_version", "version", "string", required=True),
    EventField("prompt_version", "prompt_version", "string"),
    EventField("input", "input", "string"),
    EventField("features", "features", "map<string,string>", values=SCALAR),
    EventField("output", "output", "string"),
    EventField("probabilities", "probabilities", "map<string,double>", values=NUMBER),
    EventField("segments", "segments", "map<string,string>", values=STRING),
    EventField("latency_ms", "latency_ms", "double"),
    EventField("error.type", "error_type", "string"),
    EventField("gen_ai.request.model", "request_model", "string"),
    EventField("gen_ai.usage.input_tokens", "input_tokens", "bigint"),
    EventField("gen_ai.usage.output_tokens", "output_tokens", "bigint"),
    EventField("trace_id", "trace_id", "string"),
)

FEEDBACK_FIELDS = (
    EventField("feedback_id", "feedback_id", "string", required=True),
    EventField("event_id", "event_id", "string", required=True),
    EventField("prediction_time", "prediction_time", "timestamp", required=True),
    EventField("feedback_time", "feedback_time", "timestamp", required=True),
    EventField("kind", "kind", "string", default=LABEL, allowed=(LABEL, "rating", "judgement")),
    EventField("label", "label", "string"),
    EventField("score", "score", "double"),
    EventField("source", "source", "string"),
)

# Reason codes of dead letters; each is checked in this order, and the first that holds is given.
TOO_LARGE = "too_large"
INVALID_UTF8 = "invalid_utf8"
NOT_JSON_OBJECT = "not_json_object"
UNKNOWN_VERSION = "unknown_version"
WRONG_TYPE = "wrong_event_type"
MISSING_FIELD = "missing_field"
BAD_VALUE = "bad_value"
FUTURE_TIME = "future_time"
REASONS = (
    TOO_LARGE,
    INVALID_UTF8,
    NOT_JSON_OBJECT,
    UNKNOWN_VERSION,
    WRONG_TYPE,
    MISSING_FIELD,
    BAD_VALUE,
    FUTURE_TIME,
)
