"""``/predict``, ``/feedback`` and ``/health`` over HTTP: routes, and what stands before them. Edge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse

from pegel import __version__
from pegel.serving.body_limit import BodyLimit
from pegel.serving.openapi_page import render_openapi_page
from pegel.serving.requests import (
    FeedbackAnswer,
    FeedbackRequest,
    Health,
    PredictAnswer,
    PredictRequest,
    Problem,
)
from pegel.serving.service import Refusal, Serving

MAX_BODY_BYTES_BESIDE_TEXT = 32_768
BYTES_PER_CHARACTER = 12
"""The most that JSON needs for one: a surrogate pair in escapes."""

_REFUSALS = {
    413: {"model": Problem, "description": "the text is too long"},
    500: {"model": Problem, "description": "the model failed"},
    503: {"model": Problem, "description": "no champion is loaded"},
}


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
        answer = serving.predict(request)
        if isinstance(answer, Refusal):
            return JSONResponse(answer.problem.model_dump(exclude_none=True), answer.status)
        return answer

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
