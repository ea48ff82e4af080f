"""What ``/predict`` and ``/feedback`` take and give: limits first, since what comes in is hostile. Pure."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pegel.schemas.events import Identifier
from pegel.schemas.usage_policy import Review

MAX_SEGMENTS = 16
Name = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(max_length=128)]


class PredictInput(BaseModel):
    """A text to answer. ``id`` names the prediction; one that is repeated with its id is counted once."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: str
    segments: dict[Name, Value] = Field(default_factory=dict, max_length=MAX_SEGMENTS)
    id: Identifier | None = None


class PredictRequest(PredictInput):
    """One text, and how it is to be answered.

    ``purpose`` is one of the caller's own in the usage policy; without it the first of them is meant. With ``stream``
    the answer comes as server-sent events: ``delta`` for each piece, and at last ``answer`` or ``problem``.
    """

    purpose: Name | None = None
    stream: bool = False


class BatchRequest(BaseModel):
    """Several texts; each is answered, counted and, where it must be, refused by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    inputs: Annotated[list[PredictInput], Field(min_length=1)]
    purpose: Name | None = None


class PredictAnswer(BaseModel):
    """The answer; ``event_id`` and ``event_time`` go back with the label.

    ``disclosure`` is to be shown to whoever sees the answer. If ``review`` is ``required`` a person looks at it
    afterwards; if it is ``withheld`` there is no ``output`` until a person has.
    """

    event_id: str
    event_time: AwareDatetime
    output: str | None
    probabilities: dict[str, float]
    model: str
    version: str
    disclosure: str
    review: Review | None = None
    finish_reason: str | None = None
    trace_id: str | None = None


class Delta(BaseModel):
    """A piece of an answer's text."""

    delta: str


class Problem(BaseModel):
    """Why there is no answer: ``reason`` for programs, ``detail`` for people; ``rule`` is the usage policy's."""

    detail: str
    reason: str
    event_id: str | None = None
    rule: str | None = None


class ItemProblem(Problem):
    """Why one text of several has no answer; ``status`` is what it would have been for a single one."""

    status: int


class BatchAnswer(BaseModel):
    """The answers, in the order of the inputs."""

    answers: list[PredictAnswer | ItemProblem]


class FeedbackRequest(BaseModel):
    """The true class of an earlier prediction, told by its id and time; ``trace_id`` if the answer had one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    event_id: Identifier
    prediction_time: AwareDatetime
    label: Annotated[str, Field(min_length=1, max_length=512)]
    source: Annotated[str, Field(max_length=128)] | None = None
    id: Identifier | None = None
    trace_id: Annotated[str, Field(pattern="^tr-[0-9a-f]{32}$")] | None = None


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


class Live(BaseModel):
    """The process answers; nothing is said of the model."""

    status: Literal["live"] = "live"
