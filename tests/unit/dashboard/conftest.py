"""An evening of a watched model, written to Delta once, and the pages over it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from equipment.watched_evening import evening, with_hostile_model
from fastapi.testclient import TestClient

from pegel.conf.settings import Settings
from pegel.dashboard.app import create_app
from pegel.dashboard.reading import TableReader
from pegel.dashboard.views import Overview, Scope, build_overview
from pegel.tables.delta import DeltaTables

NOW = datetime(2026, 11, 25, 3, 14, 7, tzinfo=UTC)
MINUTES = 25


@pytest.fixture(scope="session")
def now() -> datetime:
    """The moment that every page here tells of."""
    return NOW


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings()


@pytest.fixture(scope="session")
def tables_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DeltaTables]:
    """Tables of an evening at a stage; written once, and to be read only."""
    made: dict[tuple[str, bool], DeltaTables] = {}

    def get(stage: str, hostile: bool = False) -> DeltaTables:
        if (stage, hostile) not in made:
            tables = DeltaTables(str(tmp_path_factory.mktemp(stage)))
            rows = evening(NOW, stage, MINUTES)
            for name, content in (with_hostile_model(rows, NOW) if hostile else rows).items():
                tables.append(name, content)
            made[stage, hostile] = tables
        return made[stage, hostile]

    return get


@pytest.fixture(scope="session")
def scope(settings: Settings) -> Scope:
    return Scope(
        now=NOW,
        hours=settings.dashboard.hours,
        fine_hours=1.0,
        stale_seconds=60.0,
        lag_seconds=30.0,
        windows=settings.watch.window_seconds,
        sinks=("azure_monitor",),
    )


@pytest.fixture(scope="session")
def overview_of(tables_of: Callable[..., DeltaTables], settings: Settings, scope: Scope) -> Callable[..., Overview]:
    """The overview of an evening at a stage."""

    def get(stage: str, hostile: bool = False) -> Overview:
        snapshot = TableReader(tables_of(stage, hostile), settings).snapshot(NOW)
        return build_overview(snapshot.rows, scope, read_at=snapshot.read_at, problem=snapshot.problem)

    return get


@pytest.fixture(scope="session")
def client_of(tables_of: Callable[..., DeltaTables], settings: Settings) -> Callable[..., TestClient]:
    """A client of the pages over an evening at a stage."""

    made: dict[tuple[str, bool], TestClient] = {}

    def get(stage: str, hostile: bool = False) -> TestClient:
        if (stage, hostile) not in made:
            app = create_app(tables_of(stage, hostile), settings, clock=lambda: NOW)
            made[stage, hostile] = TestClient(app, base_url="http://127.0.0.1:8712")
        return made[stage, hostile]

    return get


@pytest.fixture
def empty_root(tmp_path: Path) -> Path:
    """A root below which no table has been made."""
    return tmp_path / "tables"


@pytest.fixture
def empty_client(empty_root: Path, settings: Settings) -> TestClient:
    app = create_app(DeltaTables(str(empty_root)), settings, clock=lambda: NOW)
    return TestClient(app, base_url="http://127.0.0.1:8712")
