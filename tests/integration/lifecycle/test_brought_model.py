"""A model that is brought as a folder, as from a Volume: kept as it is, with a baseline of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pegel.errors import SettingsError
from pegel.jobs import build_baseline
from pegel.lifecycle import registration
from pegel.lifecycle.brought_model import BroughtModelAdapter, check_folder
from pegel.lifecycle.labelled_text import LabelledText
from pegel.schemas.model_io import Answer

ROWS = [LabelledText("play a song", "music"), LabelledText("set a timer", "alarm")]

BROKEN = """
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return {frame}

set_model(Model())
"""


@pytest.fixture(scope="module")
def folder(champion: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a logged model, as somebody would copy it to a Volume."""
    import mlflow

    into = str(tmp_path_factory.mktemp("volume"))
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{champion.registry.model}/1", dst_path=into))


def write(path: Path, numbers: range) -> Path:
    words = {"music": "play a song", "alarm": "set a timer", "home": "dim the lights"}
    rows = [{"text": f"{text} number{n}", "label": label} for n in numbers for label, text in words.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_brought_model_serves_with_its_own_baseline_and_its_answers_are_unchanged(
    folder: Path,
    champion: Any,
    undeployed: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registration, "check_loads_in_clean_process", lambda *_: None)
    made = undeployed("brought")
    pairs = {
        "storage.root": made.settings.storage.root,
        "mlflow.tracking_uri": made.settings.mlflow.tracking_uri,
        "model.name": "brought",
    }
    arguments = [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]
    files = ["--rows", str(write(tmp_path / "rows.jsonl", range(10)))]
    files += ["--validation", str(write(tmp_path / "validation.jsonl", range(10, 30)))]
    assert build_baseline.main([*arguments, *files, "--model-path", str(folder), "--champion"]) == 0
    assert made.registry.champion() == "1"
    texts = ["play a song", "wake the band", "zebra"]
    assert made.registry.load("1").answer(texts) == champion.registry.load("1").answer(texts)
    (grid,) = made.tables.read("grids")
    kinds = {column["name"]: column["kind"] for column in grid["columns"]}
    assert kinds["known_word_share"] == "numeric"
    assert kinds["output"] == "categorical"
    assert {"input_length", "confidence", "latency_ms"} <= kinds.keys()
    (baseline,) = made.tables.read("baselines")
    assert dict(baseline["counts"])["events"] == 60
    assert len(made.registry.training_rows("1")) == 30


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"flavors": {"sklearn": {}}}, "python_function"),
        ({"flavors": None}, "python_function"),
        ({"signature": None}, "no signature"),
    ],
)
def test_folder_that_is_no_model_that_can_be_served_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    found = yaml.safe_load((folder / "MLmodel").read_text())
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(found | change))
    with pytest.raises(SettingsError, match=reason):
        check_folder(tmp_path)


def test_folder_without_a_readable_mlmodel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--model-path"):
        check_folder(tmp_path)
    (tmp_path / "MLmodel").write_text("a: [")
    with pytest.raises(SettingsError, match="--model-path"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ('pd.DataFrame({"label": ["a"] * len(model_input)})', "contract"),
        ('pd.DataFrame({"output": ["a"], "probabilities": [{}], "features": [{}]})', "1 answers to 2 texts"),
        ('pd.DataFrame({"output": ["a"] * 2, "probabilities": [0.5] * 2, "features": [{}] * 2})', "contract"),
    ],
)
def test_model_whose_answers_break_the_contract_is_refused_before_it_is_registered(
    tmp_path: Path, champion: Any, frame: str, reason: str
) -> None:
    import mlflow

    from pegel.lifecycle.model_logging import signature

    code = tmp_path / "code.py"
    code.write_text(BROKEN.format(frame=frame))
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"), python_model=str(code), signature=signature(), pip_requirements=["mlflow"]
    )
    experiment = champion.registry.prepare_store()
    with pytest.raises(SettingsError, match=reason):
        BroughtModelAdapter(tmp_path / "model").make(ROWS, experiment_id=experiment, run_name="brought")


def test_watched_columns_of_a_brought_model_are_what_its_answers_show() -> None:
    answers = [
        Answer("a", {}, {"score": 0.5, "language": "de", "output": 1.0, "sure": True}),
        Answer("b", {}, {"score": 1, "language": "en"}),
    ]
    columns = {column.name: (column.kind, column.source) for column in BroughtModelAdapter(Path()).watched(answers)}
    assert columns["score"] == ("numeric", "features.score")
    assert columns["language"] == ("categorical", "features.language")
    assert columns["sure"] == ("categorical", "features.sure")
    assert columns["output"] == ("categorical", "output")
    assert "confidence" not in columns
