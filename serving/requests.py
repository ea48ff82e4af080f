"""What ``/predict`` and ``/feedback`` take and give: limits first, since what comes in is hostile. Pure."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pegel.schemas.events import Identifier

MAX_SEGMENTS = 16
Name = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(max_length=128)]


class PredictRequest(BaseModel):
    """A text to classify. ``id`` names the prediction; a request that is repeated with its id is counted once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    segments: dict[Name, Value] = Field(default_factory=dict, max_length=MAX_SEGMENTS)
    id: Identifier | None = None


class PredictAnswer(BaseModel):
    """The answer; ``event_id`` and ``event_time`` go back with the label."""

    event_id: str
    event_time: AwareDatetime
    output: str
    probabilities: dict[str, float]
    model: str
    version: str
    trace_id: str | None = None


class FeedbackRequest(BaseModel):
    """The true class of an earlier prediction, told by its id and time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Identifier
    prediction_time: AwareDatetime
    label: Annotated[str, Field(min_length=1, max_length=512)]
    source: Annotated[str, Field(max_length=128)] | None = None
    id: Identifier | None = None


class FeedbackAnswer(BaseModel):
    """The label is on its way."""

    feedback_id: str


class Health(BaseModel):
    """Whether a champion answers, and what became of the events."""

    status: str
    model: str
    version: str | None
    detail: str
    events: dict[str, dict[str, int | bool]]


class Problem(BaseModel):
    """Why there is no answer, in one sentence."""

    detail: str
    event_id: str | None = None
