"""The pages: FastAPI and Jinja2 over the tables. Edge: reads Delta, writes nothing, asks nothing of the network."""

import hashlib
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import plotly
from fastapi import FastAPI, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment
from pydantic import TypeAdapter

from pegel import __version__
from pegel.conf.settings import Settings
from pegel.dashboard import formatting, runbook
from pegel.dashboard.extracts import FINE_HOURS
from pegel.dashboard.page_templates import page_templates
from pegel.dashboard.reading import TableReader
from pegel.dashboard.views import Overview, Scope, build_overview
from pegel.tables.delta import DeltaTables

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer: nothing is loaded from elsewhere, no script stands in the page, and nobody frames it."""

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
"""The names that the pages answer to: a page of another site that points its name here gets nothing."""

KEEP_SECONDS = 15
"""As long as no table moves, a built page is served this long, since only ages change in it."""

_JSON = TypeAdapter(Overview)


def overview_json(overview: Overview) -> bytes:
    """The overview as JSON: times in ISO 8601, what is not a finite number as null."""
    return _JSON.dump_json(overview)


class Pages:
    """Builds the overview from the tables, and keeps the last ones as long as they are true.

    Args:
        tables: where the rows are.
        settings: what to show.
        clock: the time now, in UTC.
    """

    def __init__(self, tables: DeltaTables, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._reader = TableReader(tables, settings)
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, str | None], tuple[tuple[object, ...], Overview]] = {}

    def overview(self, window_s: int, model: str | None) -> Overview:
        """The page as it is now; equal questions within a few seconds get one answer if no table has moved."""
        now = self._clock()
        snapshot = self._reader.snapshot(now)
        state = (snapshot.token, int(now.timestamp() // KEEP_SECONDS))
        with self._lock:
            kept = self._kept.get((window_s, model))
            if kept is not None and kept[0] == state:
                return kept[1]
            overview = build_overview(
                snapshot.rows, self._scope(now, window_s, model), read_at=snapshot.read_at, problem=snapshot.problem
            )
            # What is not of this moment is of no use any more, so this never grows.
            self._kept = {key: value for key, value in self._kept.items() if value[0] == state}
            self._kept[window_s, model] = (state, overview)
            return overview

    def _scope(self, now: datetime, window_s: int, model: str | None) -> Scope:
        settings = self._settings
        return Scope(
            now=now,
            hours=settings.dashboard.hours,
            fine_hours=FINE_HOURS,
            stale_seconds=settings.dashboard.stale_seconds,
            lag_seconds=settings.dashboard.lag_seconds,
            windows=settings.watch.window_seconds,
            sinks=settings.delivery.sinks,
            window_s=window_s,
            model=model,
        )


def create_app(
    tables: DeltaTables, settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FastAPI:
    """The application.

    Args:
        tables: where the rows are; they are only read.
        settings: what to show.
        clock: the time now, in UTC; tests pass their own.
    """
    app = FastAPI(title="Pegel", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    app.middleware("http")(_with_headers)
    _add_pages(app, Pages(tables, settings, clock), settings)
    _add_files(app)

    @app.get("/health")
    def health() -> JSONResponse:
        try:
            batches = tables.version("batches")
        except Exception:
            return JSONResponse({"status": "tables_unreadable", "version": __version__}, status_code=503)
        return JSONResponse({"status": "ok", "version": __version__, "batches_version": batches})

    return app


async def _with_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-cache")
    return response


def _add_pages(app: FastAPI, pages: Pages, settings: Settings) -> None:
    templates = _templates()

    def render(template: str, /, **values: object) -> HTMLResponse:
        return HTMLResponse(templates.get_template(template).render(**values))

    @app.get("/")
    def front() -> HTMLResponse:
        return render(
            "page.html",
            o=pages.overview(0, None),
            refresh_ms=round(1000 * settings.dashboard.refresh_seconds),
            version=__version__,
            build=_build(),
        )

    @app.get("/sections")
    def sections() -> HTMLResponse:
        return render("sections.html", o=pages.overview(0, None))

    @app.get("/api/overview")
    def overview(request: Request, window: int = 0, model: str | None = None) -> Response:
        body = overview_json(pages.overview(window, model[:200] if model else None))
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, media_type="application/json", headers={"ETag": tag})

    @app.get("/runbook/{name}")
    def runbook_page(name: str) -> HTMLResponse:
        text = runbook.read_page(name)
        page = render("runbook.html", name=name if runbook.is_page_name(name) else "", text=text)
        page.status_code = 404 if text is None else 200
        return page


def _add_files(app: FastAPI) -> None:
    # The wheel of plotly carries the script itself, so nothing is fetched from elsewhere.
    script = Path(str(resources.files(plotly).joinpath("package_data", "plotly.min.js")))

    @app.get("/static/plotly.min.js")
    def plotly_script() -> FileResponse:
        return FileResponse(script, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    static = Path(str(resources.files("pegel.dashboard").joinpath("static")))
    app.mount("/static", StaticFiles(directory=static), name="static")


def _build() -> str:
    """Changes with the version, so that a browser never mixes an old script with a new page."""
    return hashlib.sha256(f"{__version__} {plotly.__version__}".encode()).hexdigest()[:8]


def _templates() -> Environment:
    templates = page_templates()
    templates.filters.update(formatting.FILTERS)
    templates.tests["page_name"] = runbook.is_page_name
    return templates
