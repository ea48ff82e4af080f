"""``/predict``: the champion's answers over HTTP, and one event for each of them. Edge.

The event is handed to the producer after the answer is made and before it is given back; neither waits for the hub.
"""

import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse

from pegel import __version__
from pegel.conf.settings import Settings
from pegel.schemas.events import FeedbackEvent, PredictionEvent
from pegel.serving.body_limit import BodyLimit
from pegel.serving.champion import Champion
from pegel.serving.openapi_page import render_openapi_page
from pegel.serving.producer import EventProducer
from pegel.serving.requests import (
    FeedbackAnswer,
    FeedbackRequest,
    Health,
    PredictAnswer,
    PredictRequest,
    Problem,
)

log = logging.getLogger(__name__)

MAX_BODY_BYTES_BESIDE_TEXT = 32_768
BYTES_PER_CHARACTER = 12
"""The most that JSON needs for one: a surrogate pair in escapes."""

_REFUSALS = {
    413: {"model": Problem, "description": "the text is too long"},
    500: {"model": Problem, "description": "the model failed"},
    503: {"model": Problem, "description": "no champion is loaded"},
}


@dataclass(frozen=True, slots=True)
class Serving:
    """What the application works with.

    Attributes:
        settings: the model's name and the limits.
        champion: the model.
        predictions: the producer of prediction events.
        feedback: the producer of feedback events.
        now: the clock.
    """

    settings: Settings
    champion: Champion
    predictions: EventProducer
    feedback: EventProducer
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

    def predict(self, request: PredictRequest) -> PredictAnswer | JSONResponse:
        """Answer one request and emit its event."""
        limit = self.settings.serving.max_text_characters
        if len(request.text) > limit:
            return _problem(413, f"the text has {len(request.text)} characters, and {limit} are allowed; shorten it")
        model = self.champion.current
        if model is None:
            return _problem(503, f"no champion of {self.settings.model.name!r} is loaded yet: {self.champion.problem}")
        event_id, event_time = request.id or uuid.uuid4().hex, self.now()
        known = {
            "event_id": event_id,
            "event_time": event_time,
            "model_name": self.settings.model.name,
            "model_version": model.version,
            "input": request.text,
            "segments": request.segments,
        }
        begin = time.perf_counter()
        try:
            answer = model.answer(request.text)
        except Exception as error:  # a model's code may raise anything; the monitor must see it
            self._emit(known | {"latency_ms": _since(begin), "error_type": type(error).__name__})
            log.exception("version %s failed at the event %s", model.version, event_id)
            return _problem(500, f"version {model.version} failed: {type(error).__name__}", event_id)
        told = {"output": answer.output, "probabilities": answer.probabilities, "features": answer.features}
        self._emit(answer.event_fields | known | {"latency_ms": _since(begin)} | told)
        return PredictAnswer(
            event_id=event_id,
            event_time=event_time,
            output=answer.output,
            probabilities=answer.probabilities,
            model=self.settings.model.name,
            version=model.version,
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

    def _emit(self, fields: dict[str, object]) -> None:
        event = PredictionEvent.model_validate(fields)
        self.predictions.put(event.model_dump_json(exclude_none=True).encode())


def create_app(serving: Serving) -> FastAPI:
    """The application; its threads start and stop with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        serving.start()
        yield
        serving.close()

    app = FastAPI(title="Pegel serving", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    largest = serving.settings.serving.max_text_characters * BYTES_PER_CHARACTER + MAX_BODY_BYTES_BESIDE_TEXT
    app.add_middleware(BodyLimit, max_bytes=largest)

    @app.post("/predict", response_model=PredictAnswer, responses=_REFUSALS)  # type: ignore[arg-type]
    def predict(request: PredictRequest) -> PredictAnswer | JSONResponse:
        """Classify one text."""
        return serving.predict(request)

    @app.post("/feedback", status_code=202)
    def feedback(request: FeedbackRequest) -> FeedbackAnswer:
        """Tell the true class of an earlier prediction."""
        return serving.take_feedback(request)

    @app.get("/health", responses={503: {"model": Health, "description": "no champion is loaded"}})
    def health(response: Response) -> Health:
        """Say whether a champion answers."""
        found = serving.health()
        response.status_code = 200 if found.version else 503
        return found

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def docs() -> str:
        return render_openapi_page(app.openapi())

    return app


def _since(begin: float) -> float:
    return round((time.perf_counter() - begin) * 1000.0, 3)


def _problem(status: int, detail: str, event_id: str | None = None) -> JSONResponse:
    return JSONResponse(Problem(detail=detail, event_id=event_id).model_dump(exclude_none=True), status)
