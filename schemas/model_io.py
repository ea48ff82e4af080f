"""What a served model takes and gives: the contract between training, registry and ``/predict``. Pure.

A model is an MLflow pyfunc. It takes a frame with the column :data:`TEXT` and gives a frame of the same length with the
columns :data:`OUTPUT` (str), :data:`PROBABILITIES` (dict class -> probability, the highest few are enough) and
:data:`FEATURES` (dict name -> number or text: what the model itself says of its input and answer, watched as
``features.<name>``). A model that calls another service may give two more: :data:`EVENT_FIELDS` (dict: fields of
the prediction event by their names in JSON, such as ``gen_ai.usage.input_tokens``) and :data:`ERROR` (None, or a dict
``type``, ``message``, ``retry_after_s``: why this one row has no answer; the other rows keep theirs).

A model may stream: ``predict_stream`` of a frame with one row gives dicts ``{"delta": text}`` and as the last one
``{"answer": {column: value}}``, the row that ``predict`` would have given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TEXT = "text"
OUTPUT = "output"
PROBABILITIES = "probabilities"
FEATURES = "features"
EVENT_FIELDS = "event"
ERROR = "error"

DELTA = "delta"
ANSWER = "answer"

# Tags of a model version in the registry.
TAG_BASELINE = "pegel.baseline_id"
TAG_GRID = "pegel.grid"
TAG_VALIDATION = "pegel.validation"
TAG_TRAINING = "pegel.training"
"""Which rows it was trained on, as JSON: batch_id_max, rows, checksum."""
TAG_RETRAINING = "pegel.retraining"
"""Which attempt of which incident made it, as ``incident_id:attempt``: a restarted retraining finds its own version."""

VALIDATION_PENDING = "pending"
VALIDATION_PASSED = "passed"
"""Only a version whose :data:`TAG_VALIDATION` says so is ever served."""


class FailureType(StrEnum):
    """Why a model that calls another service has no answer; ``/predict`` has a status for each."""

    RATE_LIMITED = "rate_limited"
    CONTENT_FILTER = "content_filter"
    TIMEOUT = "timeout"
    WRONG_DEPLOYMENT = "deployment_not_found"
    ACCESS_REFUSED = "access_refused"
    BAD_REQUEST = "bad_request"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one text has no answer.

    Attributes:
        type: one of :class:`FailureType`; the event's ``error.type``.
        message: one sentence for the caller, without secrets.
        retry_after_s: when the other service would take it again, in seconds; None if it did not say.
    """

    type: FailureType
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one text.

    Attributes:
        output: the class, or the text that was made.
        probabilities: class -> 0 to 1; empty if the model gives none.
        features: what the model says of its input and answer, by name.
        event_fields: fields that it adds to the prediction event, by their names in JSON.
        failure: why there is no answer; ``output`` is then empty.
    """

    output: str
    probabilities: dict[str, float]
    features: dict[str, float | str]
    event_fields: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def confidence(self) -> float | None:
        """The highest probability; None if the model gives none."""
        return max(self.probabilities.values(), default=None)


def answers_of(frame: Mapping[str, Iterable[Any]]) -> list[Answer]:
    """Read the frame that a model gives (a pandas frame, or anything with these columns).

    Example:
        >>> answers_of({"output": ["a"], "probabilities": [{"a": 0.75}], "features": [{}]})[0].confidence
        0.75
    """
    required = zip(frame[OUTPUT], frame[PROBABILITIES], frame[FEATURES], strict=True)
    rows = [(str(output), dict(probabilities), dict(features)) for output, probabilities, features in required]
    fields = list(frame[EVENT_FIELDS]) if EVENT_FIELDS in frame else [{}] * len(rows)
    errors = list(frame[ERROR]) if ERROR in frame else [None] * len(rows)
    return [Answer(*row, dict(more), _failure(error)) for row, more, error in zip(rows, fields, errors, strict=True)]


def _failure(error: Mapping[str, Any] | None) -> Failure | None:
    if not isinstance(error, Mapping):
        return None
    return Failure(FailureType(error["type"]), str(error["message"]), error.get("retry_after_s"))
