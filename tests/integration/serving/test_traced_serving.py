"""Tracing behind `/predict` and `/feedback`: what the caller, the hub and MLflow are told is the same trace."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pegel.conf.settings import Settings
from pegel.schemas.model_io import Answer
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.gate import Gate
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool
from pegel.serving.tracing import Tracing, is_sampled, trace_id_of

PATIENCE_SECONDS = 60


class SpanningModel:
    """Answers with the text in capitals, and records a span of its own for each."""

    version = "3"
    shares_turns = False

    def answer(self, text: str) -> Answer:
        import mlflow

        with mlflow.start_span("shout") as span:
            span.set_inputs(text)
        return Answer(text.upper(), {}, {})

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        return [self.answer(text) for text in texts]

    def stream(self, text: str) -> Iterator[str | Answer]:
        answer = self.answer(text)
        yield answer.output[:2]
        yield answer.output[2:]
        yield answer


class Traced:
    """An application whose calls are traced, and what reached its hubs."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.sent: dict[str, list[dict[str, Any]]] = {"predictions": [], "feedback": []}
        champion = Champion(settings)
        champion.poll = lambda: False  # type: ignore[method-assign]
        champion._current = SpanningModel()  # type: ignore[assignment]
        producers = [
            EventProducer(name, self._send_to(name), Spool(folder / name), flush_seconds=0.01, max_buffered_events=1000)
            for name in self.sent
        ]
        self.tracing = Tracing(settings)
        gate = Gate(settings.model.name)
        gate.metrics.watch_traces(self.tracing.counts)
        self.app = create_app(
            Serving(
                settings,
                champion,
                *producers,
                gate,
                arounds=(self.tracing,),
                listeners=(self.tracing.attach,),
            )
        )

    def _send_to(self, name: str) -> Callable[[Sequence[bytes]], None]:
        return lambda bodies: self.sent[name].extend(json.loads(body) for body in bodies)

    def spans(self, trace_id: str) -> list[tuple[str, Any]]:
        trace = self._stored(trace_id)
        return sorted((span.name, span.inputs) for span in trace.data.spans)

    def labels(self, trace_id: str) -> list[Any]:
        return [found.value for found in self._stored(trace_id).info.assessments]

    def _stored(self, trace_id: str) -> Any:
        from mlflow.tracing.client import TracingClient

        return TracingClient(self.settings.mlflow.tracking_uri).get_trace(trace_id)


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(PATIENCE_SECONDS * 50):
        if condition():
            return
        threading.Event().wait(0.02)
    pytest.fail(f"it did not come about within {PATIENCE_SECONDS} s")


@pytest.fixture
def serve(traced: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., tuple[Traced, TestClient]]]:
    made: list[tuple[Traced, TestClient]] = []

    def start(**serving: Any) -> tuple[Traced, TestClient]:
        app = Traced(traced(**serving), tmp_path)
        client = TestClient(app.app)
        client.__enter__()
        made.append((app, client))
        app.tracing.start()
        _until(lambda: app.tracing._capture is not None)
        return app, client

    yield start
    for app, client in made:
        client.__exit__(None, None, None)
        app.tracing.close(PATIENCE_SECONDS)


def test_answer_event_and_trace_name_each_other(serve: Callable[..., Any]) -> None:
    app, client = serve()
    answer = client.post("/predict", json={"text": "hello", "id": "h-1"}).json()
    label = {"event_id": "h-1", "prediction_time": answer["event_time"], "label": "greeting"}
    assert client.post("/feedback", json=label | {"trace_id": answer["trace_id"]}).status_code == 202
    assert client.post("/feedback", json=label | {"label": "a second one"}).status_code == 202
    _until(lambda: app.tracing.counts().feedback.stored == 2 and len(app.sent["feedback"]) == 2)
    assert answer["trace_id"] == trace_id_of("assistant", "h-1") == app.sent["predictions"][0]["trace_id"]
    assert app.sent["feedback"][0]["trace_id"] == answer["trace_id"]
    assert app.spans(answer["trace_id"]) == [("predict", {"text": "hello", "segments": {}}), ("shout", "hello")]
    assert sorted(app.labels(answer["trace_id"])) == ["a second one", "greeting"]
    numbers = client.get("/metrics").text
    assert 'pegel_traces_stored_total{kind="trace"} 1.0' in numbers
    assert 'pegel_traces_stored_total{kind="feedback"} 2.0' in numbers


def test_a_streamed_answer_is_one_trace_with_the_whole_answer(serve: Callable[..., Any]) -> None:
    app, client = serve()
    said = client.post("/predict", json={"text": "hello", "id": "h-2", "stream": True}).text
    trace_id = trace_id_of("assistant", "h-2")
    assert trace_id in said
    _until(lambda: app.tracing.counts().traces.stored == 1)
    assert app._stored(trace_id).data.spans[0].outputs["output"] == "HELLO"
    assert [name for name, _ in app.spans(trace_id)] == ["predict", "shout"]


def test_each_text_of_a_batch_has_a_trace_of_its_own_without_those_of_others(serve: Callable[..., Any]) -> None:
    app, client = serve()
    inputs = [{"text": f"text {n}", "id": f"batch-{n}"} for n in range(3)]
    answers = client.post("/predict", json={"inputs": inputs}).json()["answers"]
    _until(lambda: app.tracing.counts().traces.stored == 3)
    for given, answer in zip(inputs, answers, strict=True):
        assert app.spans(answer["trace_id"]) == [("predict", {"text": given["text"], "segments": {}})]


def test_which_calls_are_traced_follows_from_their_ids(serve: Callable[..., Any]) -> None:
    _, client = serve(trace_share=0.5)
    ids = [f"some-{n}" for n in range(40)]
    for _ in range(2):
        traced = {
            name for name in ids if client.post("/predict", json={"text": "a", "id": name}).json().get("trace_id")
        }
        assert traced == {name for name in ids if is_sampled(name, 0.5)}
        assert 0 < len(traced) < len(ids)


@pytest.mark.parametrize("trace_id", ["", "tr-1", "tr-" + "g" * 32, "trace:/other/" + "0" * 32])
def test_feedback_refuses_what_is_no_trace(serve: Callable[..., Any], trace_id: str) -> None:
    app, client = serve()
    label = {"event_id": "e", "prediction_time": "2026-11-25T03:00:00Z", "label": "x", "trace_id": trace_id}
    assert client.post("/feedback", json=label).status_code == 422
    assert app.sent["feedback"] == []
