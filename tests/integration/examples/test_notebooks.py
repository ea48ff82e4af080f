"""The notebooks in `examples/` run from beginning to end, in a kernel of this interpreter; their cells assert."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[3] / "examples"
KERNEL = "pegel-tests"
CELL_SECONDS = 240
"""So long a machine that is busy with something else may need; it is no measurement."""


def _kernels(folder: Path) -> Path:
    """A folder for JUPYTER_PATH with one kernel: none need be installed, and none of another Python is taken."""
    kernel = folder / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": KERNEL, "language": "python"}))
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without content; making its tables takes seconds, so each notebook gets a copy."""
    import mlflow

    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{store}").search_experiments()
    return store


def _read(name: str) -> Any:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


NAMES = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))


def test_there_is_a_notebook_for_each_step() -> None:
    assert NAMES == ["monitor", "retrain", "serve"]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_kept_without_outputs(name: str) -> None:
    cells = [cell for cell in _read(name).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_and_what_it_shows_is_so(
    name: str, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(_kernels(tmp_path / "jupyter")))
    monkeypatch.setenv("PEGEL_NOTEBOOK_FOLDER", str(tmp_path))
    for variable in [variable for variable in os.environ if variable.startswith("PEGEL_EVENTHUBS")]:
        monkeypatch.delenv(variable)
    notebook = _read(name)
    assert any("assert " in cell.source for cell in notebook.cells)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name=KERNEL, resources=place).execute()
