"""Models as MLflow loads them, in this process and in one of their own: asked as a whole and piece by piece."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pegel.errors import OutsideError
from pegel.schemas.model_io import Answer
from pegel.serving.model_process import ModelProcess
from pegel.serving.served_model import InProcessModel, ModelFailedError, ServedModel, error_type_of

PLAIN = """
import os
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Shouts(PythonModel):
    def load_context(self, context):
        self.marks = np.float32(0.5)

    def predict(self, context, model_input, params=None):
        said = [text.upper() for text in model_input["text"]]
        if "RAISE" in said:
            raise ArithmeticError("a model's own trouble")
        if "UNREACHABLE" in said:
            raise ConnectionRefusedError("a model's own trouble with the system")
        if "DIE" in said:
            os.kill(os.getpid(), 9)
        if "SECRETS" in said:
            said = [" ".join(name for name in os.environ if name.startswith("PEGEL_"))]
        if "PATIENCE" in said:
            said = [str(os.getpriority(os.PRIO_PROCESS, 0))]
        features = [{"marks": self.marks, "none": float("nan")}] * len(said)
        return pd.DataFrame({"output": said, "probabilities": [{}] * len(said), "features": features})
STREAM

set_model(Shouts())
"""
STREAM = """
    def predict_stream(self, context, model_input, params=None):
        text = model_input["text"]
        (text,) = [text] if isinstance(text, str) else text
        for word in text.upper().split():
            if word == "RAISE":
                raise ArithmeticError("a model's own trouble")
            yield {"delta": word + " "}
        error = {"type": "rate_limited", "message": "Later.", "retry_after_s": 2.0} if text == "busy" else None
        row = {"output": text.upper(), "probabilities": {}, "features": {}, "event": {"n": 1}, "error": error}
        yield {"answer": row}
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    import mlflow

    folder = tmp_path_factory.mktemp("models")

    def path_of(name: str) -> str:
        path = folder / name
        if not path.exists():
            code = Path(f"{path}.py")
            code.write_text(PLAIN.replace("STREAM", STREAM if name == "streams" else ""), encoding="utf-8")
            mlflow.pyfunc.save_model(str(path), python_model=str(code), pip_requirements=[])
        return str(path)

    return path_of


@pytest.fixture(scope="module", params=["in this process", "in its own"])
def load(request: pytest.FixtureRequest, saved: Callable[[str], str], tmp_path_factory: Any) -> Iterator[Any]:
    made: dict[str, ServedModel] = {}
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"

    def loaded(name: str) -> ServedModel:
        if name not in made:
            if request.param == "in its own":
                made[name] = ModelProcess("1", saved(name), tracking_uri=store, registry_uri=store)
            else:
                import mlflow

                made[name] = InProcessModel("1", mlflow.pyfunc.load_model(saved(name)))
        return made[name]

    yield loaded
    made.clear()


@pytest.fixture
def own(saved: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> ModelProcess:
    monkeypatch.setenv("PEGEL_EVENTHUBS_CONNECTION_STRING", "canary")
    return ModelProcess("1", saved("plain"), tracking_uri="sqlite://", registry_uri="sqlite://")


def test_a_model_that_streams_gives_its_pieces_and_then_its_whole_answer(load: Any) -> None:
    *pieces, answer = load("streams").stream("hello there")
    assert pieces == ["HELLO ", "THERE "]
    assert isinstance(answer, Answer)
    assert (answer.output, answer.event_fields, answer.failure) == ("HELLO THERE", {"n": 1}, None)
    *_, failed = load("streams").stream("busy")
    assert isinstance(failed, Answer)
    assert failed.failure is not None
    assert (failed.failure.type.value, failed.failure.retry_after_s) == ("rate_limited", 2.0)


def test_a_model_that_cannot_stream_gives_one_piece(load: Any) -> None:
    piece, answer = load("plain").stream("hello")
    assert (piece, answer.output, answer.features["marks"]) == ("HELLO", "HELLO", 0.5)
    assert [answer.output for answer in load("plain").answer_all(["a", "\ud800é"])] == ["A", "\ud800É"]


def test_what_a_model_raises_has_its_type_and_the_next_text_is_answered(load: Any) -> None:
    for ask in (lambda: load("plain").answer("raise"), lambda: list(load("streams").stream("a raise"))):
        with pytest.raises((ArithmeticError, ModelFailedError), match="own trouble") as raised:
            ask()
        assert error_type_of(raised.value) == "ArithmeticError"
    assert load("plain").answer("a").output == load("streams").answer("a").output == "A"


def test_an_error_of_the_system_is_the_models_own_and_does_not_end_its_process(load: Any) -> None:
    for _ in range(2):
        with pytest.raises((ConnectionRefusedError, ModelFailedError), match="with the system") as raised:
            load("plain").answer("unreachable")
        assert error_type_of(raised.value) == "ConnectionRefusedError"
    assert load("plain").answer("a").output == "A"


def test_a_stream_that_is_left_early_disturbs_no_other_answer(load: Any) -> None:
    model = load("streams")
    left = model.stream("one two three")
    assert next(left) == "ONE "
    assert model.answer("a").output == "A"
    left.close()
    assert next(iter(model.stream("b"))) == "B "


def test_texts_from_many_threads_get_their_own_answers(load: Any) -> None:
    model, found = load("plain"), {}

    def ask(number: int) -> None:
        for turn in range(20):
            text = f"text {number} {turn}"
            found[text] = model.answer(text).output

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    assert all(said == text.upper() for text, said in found.items())


def test_a_process_knows_no_secret_of_serving_and_answers_at_full_speed(own: ModelProcess) -> None:
    assert own.answer("secrets").output == ""
    assert own.answer("patience").output == str(os.getpriority(os.PRIO_PROCESS, 0))


def test_a_version_that_crashes_says_so_and_takes_nothing_along(own: ModelProcess) -> None:
    assert own.is_alive
    with pytest.raises(OutsideError, match="the process of version 1 has ended"):
        own.answer("die")
    own._process.wait(30)
    assert not own.is_alive
    with pytest.raises(OutsideError, match=f"has ended with {-signal.SIGKILL}"):
        own.answer("a")


def test_a_version_that_does_not_load_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelFailedError, match="nowhere") as raised:
        ModelProcess("1", str(tmp_path / "nowhere"), tracking_uri="sqlite://", registry_uri="sqlite://")
    assert raised.value.error_type == "MlflowException"


def test_a_process_survives_signals_to_all_and_ends_with_its_last_user(saved: Callable[[str], str]) -> None:
    model = ModelProcess("1", saved("plain"), tracking_uri="sqlite://", registry_uri="sqlite://")
    process = model._process
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)
    assert model.answer("a").output == "A"
    del model
    assert process.wait(30) == 0
