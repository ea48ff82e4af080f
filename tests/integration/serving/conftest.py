"""One MLflow store for all tests here; creating its tables takes seconds."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pegel.conf.settings import Settings


@pytest.fixture(scope="session")
def trace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mlflow

    folder = tmp_path_factory.mktemp("traces")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    client.create_experiment("pegel", artifact_location=(folder / "artifacts").as_uri())
    return folder


@pytest.fixture
def traced(trace_folder: Path) -> Iterator[Callable[..., Settings]]:
    """Settings with every call traced into the one store; afterwards this process records nothing of ours."""
    import mlflow

    def make(**serving: Any) -> Settings:
        return Settings.model_validate(
            {
                "mlflow": {"tracking_uri": f"sqlite:///{trace_folder}/mlflow.db"},
                "serving": {"trace_share": 1.0, "spool": str(trace_folder / "spool"), "flush_seconds": 0.01, **serving},
            }
        )

    yield make
    mlflow.openai.autolog(disable=True)
    mlflow.tracing.reset()


@pytest.fixture
def everything_stored(trace_folder: Path) -> Callable[[], bytes]:
    """All that the store holds: each value of each table, and each file, the database as raw pages too."""

    def read() -> bytes:
        with sqlite3.connect(trace_folder / "mlflow.db") as store:
            names = [name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            values = [str(row) for name in names for row in store.execute(f'SELECT * FROM "{name}"')]
        files = [path.read_bytes() for path in trace_folder.rglob("*") if path.is_file()]
        return b"\n".join([*(value.encode() for value in values), *files])

    return read
