"""The events that come in: their fields, versions and the reasons to refuse one. Pure.

Names follow the OpenTelemetry GenAI conventions where these have one (``gen_ai.request.model``,
``gen_ai.usage.input_tokens``, ``error.type``). An event is one JSON object in UTF-8. Fields that a version does not
know are kept in ``extra``. Times are RFC 3339 with an offset, e.g. ``2026-11-25T03:00:00.123456Z``.

Versions live side by side: each event is read by the version that it names, 1 if it names none. A further version is
data: a number in :data:`CONTRACT`, and ``since`` and ``until`` at the fields that come and go with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
MAX_EVENT_BYTES = 1_048_576
"""The hub's own limit for one event."""

EARLIEST_TIME = datetime(2015, 1, 1, tzinfo=UTC)
"""No event is older: a clock that was never set says 1970, or the day on which its device was made."""

MAX_IDENTIFIER_CHARACTERS = 128
MAX_NAME_CHARACTERS = 1_024
"""Of a text that names something and is no content; content is limited by the size of the event alone."""

MAX_TOKENS = 10**12
"""A token count is 0 to this: a million of them still add up in 64 bits."""

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER_CHARACTERS)]
Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
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
    prompt_version: Name | None = None
    input: str | None = None
    features: dict[str, float | int | str | bool | None] = Field(default_factory=dict)
    output: str | None = None
    probabilities: dict[str, float] = Field(default_factory=dict)
    segments: dict[str, str] = Field(default_factory=dict)
    latency_ms: float | None = None
    error_type: Name | None = Field(default=None, alias="error.type")
    request_model: Name | None = Field(default=None, alias="gen_ai.request.model")
    input_tokens: Tokens | None = Field(default=None, alias="gen_ai.usage.input_tokens")
    output_tokens: Tokens | None = Field(default=None, alias="gen_ai.usage.output_tokens")
    trace_id: Name | None = None


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
    source: Name | None = None


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
        max_characters: how long a text may be; None for content, which the size of the event limits.
        since: the first version that has it. In others it is a field that the version does not know.
        until: the last version that has it; None while it stays. Two fields of one column replace each other so.
    """

    json: str
    column: str
    type: str
    required: bool = False
    default: str | None = None
    values: str = ""
    allowed: tuple[str, ...] = ()
    max_characters: int | None = None
    since: int = 1
    until: int | None = None


@dataclass(frozen=True, slots=True)
class EventContract:
    """What events may be: the versions that are read, and the fields of each kind of event in all of them.

    Attributes:
        versions: the values that ``schema_version`` may have.
        fields: ``event_type`` -> its fields; those of one version have different names and different columns.
    """

    versions: tuple[int, ...]
    fields: Mapping[str, tuple[EventField, ...]]


STRING = "string"
NUMBER = "number"
SCALAR = "scalar"

LABEL = "label"
"""The kind of feedback that says what the right output would have been."""

PREDICTION_FIELDS = (
    EventField("event_id", "event_id", "string", required=True, max_characters=MAX_IDENTIFIER_CHARACTERS),
    EventField("event_time", "event_time", "timestamp", required=True),
    EventField("model_name", "model", "string", required=True, max_characters=MAX_IDENTIFIER_CHARACTERS),
    EventField("model_version", "version", "string", required=True, max_characters=MAX_IDENTIFIER_CHARACTERS),
    EventField("prompt_version", "prompt_version", "string", max_characters=MAX_NAME_CHARACTERS),
    EventField("input", "input", "string"),
    EventField("features", "features", "map<string,string>", values=SCALAR),
    EventField("output", "output", "string"),
    EventField("probabilities", "probabilities", "map<string,double>", values=NUMBER),
    EventField("segments", "segments", "map<string,string>", values=STRING),
    EventField("latency_ms", "latency_ms", "double"),
    EventField("error.type", "error_type", "string", max_characters=MAX_NAME_CHARACTERS),
    EventField("gen_ai.request.model", "request_model", "string", max_characters=MAX_NAME_CHARACTERS),
    EventField("gen_ai.usage.input_tokens", "input_tokens", "bigint"),
    EventField("gen_ai.usage.output_tokens", "output_tokens", "bigint"),
    EventField("trace_id", "trace_id", "string", max_characters=MAX_NAME_CHARACTERS),
)

FEEDBACK_FIELDS = (
    EventField("feedback_id", "feedback_id", "string", required=True, max_characters=MAX_IDENTIFIER_CHARACTERS),
    EventField("event_id", "event_id", "string", required=True, max_characters=MAX_IDENTIFIER_CHARACTERS),
    EventField("prediction_time", "prediction_time", "timestamp", required=True),
    EventField("feedback_time", "feedback_time", "timestamp", required=True),
    EventField("kind", "kind", "string", default=LABEL, allowed=(LABEL, "rating", "judgement")),
    EventField("label", "label", "string"),
    EventField("score", "score", "double"),
    EventField("source", "source", "string", max_characters=MAX_NAME_CHARACTERS),
)

PREDICTION = "prediction"
FEEDBACK = "feedback"
CONTRACT = EventContract((SCHEMA_VERSION,), {PREDICTION: PREDICTION_FIELDS, FEEDBACK: FEEDBACK_FIELDS})

# Reason codes of dead letters; each is checked in this order, and the first that holds is given. Of those that speak of
# a single field's value, the first field decides.
TOO_LARGE = "too_large"
INVALID_UTF8 = "invalid_utf8"
NOT_JSON_OBJECT = "not_json_object"
TRAILING_TEXT = "trailing_text"
DUPLICATE_KEY = "duplicate_key"
UNKNOWN_VERSION = "unknown_version"
WRONG_TYPE = "wrong_event_type"
MISSING_FIELD = "missing_field"
BAD_VALUE = "bad_value"
NOT_FINITE = "not_finite"
TOO_LONG = "too_long"
WRONG_CASE = "wrong_case_key"
OLD_TIME = "old_time"
FUTURE_TIME = "future_time"
REASONS = (
    TOO_LARGE,
    INVALID_UTF8,
    NOT_JSON_OBJECT,
    TRAILING_TEXT,
    DUPLICATE_KEY,
    UNKNOWN_VERSION,
    WRONG_TYPE,
    MISSING_FIELD,
    BAD_VALUE,
    NOT_FINITE,
    TOO_LONG,
    WRONG_CASE,
    OLD_TIME,
    FUTURE_TIME,
)
