"""What happens to a request: the champion is asked, and one event is emitted for each prediction. Edge.

The event is handed to the producer after the answer is made and before it is given back; neither waits for the hub.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pegel.conf.settings import Settings
from pegel.schemas.events import FeedbackEvent, PredictionEvent
from pegel.serving.call import Around, Call
from pegel.serving.champion import Champion, ServedModel
from pegel.serving.producer import EventProducer
from pegel.serving.requests import FeedbackAnswer, FeedbackRequest, Health, PredictAnswer, PredictRequest, Problem

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer: an HTTP status and what it says."""

    status: int
    problem: Problem


@dataclass(frozen=True, slots=True)
class Serving:
    """What the application works with.

    Attributes:
        settings: the model's name and the limits.
        champion: the model.
        predictions: the producer of prediction events.
        feedback: the producer of feedback events.
        arounds: who looks at each prediction.
        now: the clock.
    """

    settings: Settings
    champion: Champion
    predictions: EventProducer
    feedback: EventProducer
    arounds: Sequence[Around] = ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def start(self) -> None:
        """Start the threads."""
        self.champion.start()
        self.predictions.start()
        self.feedback.start()

    def close(self) -> None:
        """Stop the threads; events that the hub does not take in time are left in the spool."""
        self.champion.close()
        self.predictions.close()
        self.feedback.close()

    def predict(self, request: PredictRequest) -> PredictAnswer | Refusal:
        """Answer one request and emit its event."""
        limit = self.settings.serving.max_text_characters
        if len(request.text) > limit:
            return _refusal(413, f"the text has {len(request.text)} characters, and {limit} are allowed; shorten it")
        model = self.champion.current
        if model is None:
            return _refusal(503, f"no champion of {self.settings.model.name!r} is loaded yet: {self.champion.problem}")
        call = Call(
            event_id=request.id or uuid.uuid4().hex,
            event_time=self.now(),
            model=self.settings.model.name,
            version=model.version,
            text=request.text,
            segments=request.segments,
        )
        with self._looked_at(call):
            _ask(model, call)
        self._emit(call)
        if call.answer is None:
            return _refusal(500, f"version {model.version} failed: {call.error_type}", call.event_id)
        return PredictAnswer(
            event_id=call.event_id,
            event_time=call.event_time,
            output=call.answer.output,
            probabilities=call.answer.probabilities,
            model=call.model,
            version=call.version,
            trace_id=call.trace_id,
        )

    def take_feedback(self, request: FeedbackRequest) -> FeedbackAnswer:
        """Emit one feedback event."""
        event = FeedbackEvent(
            feedback_id=request.id or uuid.uuid4().hex,
            event_id=request.event_id,
            prediction_time=request.prediction_time.astimezone(UTC),
            feedback_time=self.now(),
            label=request.label,
            source=request.source,
        )
        self.feedback.put(event.model_dump_json(exclude_none=True).encode())
        return FeedbackAnswer(feedback_id=event.feedback_id)

    def health(self) -> Health:
        """Whether a champion answers, and what became of the events."""
        model, hubs = self.champion.current, self.settings.source
        counts = {hubs.predictions_hub: self.predictions.counts(), hubs.feedback_hub: self.feedback.counts()}
        return Health(
            status="serving" if model else "no champion",
            model=self.settings.model.name,
            version=model.version if model else None,
            detail=self.champion.problem,
            events={hub: asdict(count) for hub, count in counts.items()},
        )

    @contextmanager
    def _looked_at(self, call: Call) -> Iterator[None]:
        entered = []
        for around in self.arounds:
            try:
                context = around(call)
                context.__enter__()
                entered.append(context)
            except Exception:
                log.exception("who looks at the prediction %s failed; it is made all the same", call.event_id)
        yield
        for context in reversed(entered):
            try:
                context.__exit__(None, None, None)
            except Exception:
                log.exception("who looks at the prediction %s failed; it is answered all the same", call.event_id)

    def _emit(self, call: Call) -> None:
        fields: dict[str, object] = {
            "event_id": call.event_id,
            "event_time": call.event_time,
            "model_name": call.model,
            "model_version": call.version,
            "input": call.text,
            "segments": call.segments,
            "latency_ms": call.latency_ms,
            "error_type": call.error_type,
            "trace_id": call.trace_id,
        }
        added: dict[str, object] = {}
        if call.answer is not None:
            added = call.answer.event_fields
            fields["output"] = call.answer.output
            fields["probabilities"] = call.answer.probabilities
            fields["features"] = call.answer.features
        event = PredictionEvent.model_validate(added | call.extra | fields)
        self.predictions.put(event.model_dump_json(exclude_none=True).encode())


def _ask(model: ServedModel, call: Call) -> None:
    begin = time.perf_counter()
    try:
        call.answer = model.answer(call.text)
    except Exception as error:  # a model's code may raise anything; the monitor must see it
        call.error_type = type(error).__name__
        log.exception("version %s failed at the event %s", model.version, call.event_id)
    call.latency_ms = round((time.perf_counter() - begin) * 1000.0, 3)


def _refusal(status: int, detail: str, event_id: str | None = None) -> Refusal:
    return Refusal(status, Problem(detail=detail, event_id=event_id))
