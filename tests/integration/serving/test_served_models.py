"""Models as MLflow loads them: asked as a whole and piece by piece, whether they can stream or not."""

from pathlib import Path
from typing import Any

import pytest

from pegel.schemas.model_io import Answer
from pegel.serving.champion import ServedModel

PLAIN = """
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Shouts(PythonModel):
    def predict(self, context, model_input, params=None):
        said = [text.upper() for text in model_input["text"]]
        return pd.DataFrame({"output": said, "probabilities": [{}] * len(said), "features": [{}] * len(said)})
STREAM

set_model(Shouts())
"""
STREAM = """
    def predict_stream(self, context, model_input, params=None):
        text = model_input["text"]
        (text,) = [text] if isinstance(text, str) else text
        for word in text.upper().split():
            yield {"delta": word + " "}
        error = {"type": "rate_limited", "message": "Later.", "retry_after_s": 2.0} if text == "busy" else None
        row = {"output": text.upper(), "probabilities": {}, "features": {}, "event": {"n": 1}, "error": error}
        yield {"answer": row}
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ServedModel:
    import mlflow

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    code = tmp_path / "model_code.py"
    code.write_text(PLAIN.replace("STREAM", STREAM if request.param else ""), encoding="utf-8")
    mlflow.pyfunc.save_model(str(tmp_path / "model"), python_model=str(code), pip_requirements=[])
    model: Any = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    return ServedModel("1", model)


@pytest.mark.parametrize("served", [True], indirect=True)
def test_a_model_that_streams_gives_its_pieces_and_then_its_whole_answer(served: ServedModel) -> None:
    *pieces, answer = served.stream("hello there")
    assert pieces == ["HELLO ", "THERE "]
    assert isinstance(answer, Answer)
    assert (answer.output, answer.event_fields, answer.failure) == ("HELLO THERE", {"n": 1}, None)
    *_, failed = served.stream("busy")
    assert isinstance(failed, Answer)
    assert failed.failure is not None
    assert (failed.failure.type.value, failed.failure.retry_after_s) == ("rate_limited", 2.0)


@pytest.mark.parametrize("served", [False], indirect=True)
def test_a_model_that_cannot_stream_gives_one_piece(served: ServedModel) -> None:
    assert list(served.stream("hello")) == ["HELLO", Answer("HELLO", {}, {})]
    assert [answer.output for answer in served.answer_all(["a", "b"])] == ["A", "B"]
