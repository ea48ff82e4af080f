"""The application: the routes, what stands before them, and what starts and stops with them. Edge."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from pegel import __version__
from pegel.serving.body_limit import BodyLimit
from pegel.serving.metrics import CONTENT_TYPE
from pegel.serving.openapi_description import EVENT_STREAM, an_event, describe, problems, takes
from pegel.serving.openapi_page import render_openapi_page
from pegel.serving.requests import BatchAnswer, FeedbackAnswer, Health, Live, PredictAnswer
from pegel.serving.routes import Routes
from pegel.serving.service import Serving
from pegel.serving.work import Work

MAX_BODY_BYTES_BESIDE_TEXT = 32_768
BYTES_PER_CHARACTER = 12
"""The most that JSON needs for one: a surrogate pair in escapes."""

_REFUSED = (401, 403, 408, 413, 415, 422, 429, 503)
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {EVENT_STREAM: {"schema": an_event()}}}}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "no champion is loaded"}}


def create_app(serving: Serving) -> FastAPI:
    """The application; its threads start and stop with it."""
    limits = serving.settings.serving
    work = Work(limits.workers, limits.max_under_way)
    routes = Routes(serving, work)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        serving.start()
        yield
        work.close()
        await run_in_threadpool(serving.close)

    app = FastAPI(title="Pegel serving", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    largest = limits.max_text_characters * BYTES_PER_CHARACTER + MAX_BODY_BYTES_BESIDE_TEXT
    app.add_middleware(BodyLimit, max_bytes=largest, seconds=limits.body_seconds)
    app.add_api_route(
        "/predict",
        routes.predict,
        methods=["POST"],
        response_model=PredictAnswer | BatchAnswer,
        responses={**_STREAM, **problems(400, 500, 502, 504, *_REFUSED)},
        openapi_extra=takes("PredictRequest", "BatchRequest"),
    )
    app.add_api_route(
        "/feedback",
        routes.feedback,
        methods=["POST"],
        status_code=202,
        response_model=FeedbackAnswer,
        responses=problems(*_REFUSED),
        openapi_extra=takes("FeedbackRequest"),
    )
    _add_views(app, serving)
    describe(app)
    return app


def _add_views(app: FastAPI, serving: Serving) -> None:
    """What shows how it stands; nobody has to say who they are."""

    @app.get("/health/live")
    async def live() -> Live:
        """Say that the process answers; whoever restarts it asks here."""
        return Live()

    @app.get("/health/ready", responses=_NOT_READY)
    @app.get("/health", responses=_NOT_READY)
    async def ready(response: Response) -> Health:
        """Say whether a champion answers; whoever sends requests asks here."""
        found = serving.health()
        response.status_code = 200 if found.version else 503
        return found

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Tell the numbers for Prometheus."""
        return Response(serving.gate.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        return render_openapi_page(app.openapi())
