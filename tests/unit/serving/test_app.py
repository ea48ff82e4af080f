from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from pegel.schemas.events import FeedbackEvent, PredictionEvent

Start = Callable[..., AbstractContextManager[tuple[TestClient, Any]]]


def test_predict_answers_and_emits_one_event(start: Start, now: datetime) -> None:
    with start() as (client, sent):
        response = client.post("/predict", json={"text": "hello there", "segments": {"channel": "web"}})
    assert response.status_code == 200
    body = response.json()
    assert (body["output"], body["model"], body["version"]) == ("greeting", "assistant", "3")
    assert body["probabilities"] == {"greeting": 0.75, "weather": 0.25}
    assert datetime.fromisoformat(body["event_time"]) == now
    (raw,) = sent.predictions
    event = PredictionEvent.model_validate(raw)
    assert (event.event_id, event.event_time) == (body["event_id"], now)
    assert (event.input, event.output, event.segments) == ("hello there", "greeting", {"channel": "web"})
    assert event.features == {"known_word_share": 0.5}
    assert event.latency_ms is not None
    assert event.latency_ms >= 0
    assert event.error_type is None


def test_predict_keeps_the_callers_id(start: Start) -> None:
    with start() as (client, sent):
        client.post("/predict", json={"text": "a", "id": "order-7"})
    assert [event["event_id"] for event in sent.predictions] == ["order-7"]


def test_model_that_fails_gives_500_and_an_event_with_the_error(start: Start) -> None:
    with start() as (client, sent):
        response = client.post("/predict", json={"text": "fail"})
    assert response.status_code == 500
    assert response.json()["event_id"] == sent.predictions[0]["event_id"]
    assert "secret" not in response.text
    assert sent.predictions[0]["error.type"] == "RuntimeError"
    assert "output" not in sent.predictions[0]


def test_without_a_champion_everything_says_503(start: Start) -> None:
    with start(loaded=False) as (client, sent):
        answer, health = client.post("/predict", json={"text": "a"}), client.get("/health")
    assert (answer.status_code, health.status_code) == (503, 503)
    assert "no champion of 'assistant'" in answer.json()["detail"]
    assert health.json()["version"] is None
    assert sent.predictions == []


def test_health_says_version_and_counts(start: Start) -> None:
    with start() as (client, _):
        client.post("/predict", json={"text": "a"})
        health = client.get("/health")
    assert health.status_code == 200
    assert health.json()["version"] == "3"
    assert health.json()["events"]["predictions"]["accepted"] == 1


@pytest.mark.parametrize(("characters", "status"), [(20_000, 200), (20_001, 413)])
def test_predict_takes_20000_characters_and_no_more(start: Start, characters: int, status: int) -> None:
    with start() as (client, sent):
        # The widest text: each character needs 12 bytes of JSON.
        assert client.post("/predict", json={"text": "😀" * characters}).status_code == status
    assert len(sent.predictions) == (status == 200)


@pytest.mark.parametrize("chunked", [False, True])
def test_body_that_no_valid_request_needs_is_refused_unread(start: Start, chunked: bool) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    body: Any = endless() if chunked else b"x" * 10_000_000
    with start() as (client, sent):
        assert client.post("/predict", content=body).status_code == 413
    assert sent.predictions == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": None},
        {"text": 3},
        {"text": "a", "more": 1},
        {"text": "a", "id": ""},
        {"text": "a", "id": "x" * 129},
        {"text": "a", "segments": {"channel": 3}},
        {"text": "a", "segments": {"": "x"}},
        {"text": "a", "segments": {"channel": "x" * 129}},
        {"text": "a", "segments": {str(n): "x" for n in range(17)}},
        [],
    ],
)
def test_predict_refuses_what_is_not_a_request(start: Start, body: Any) -> None:
    with start() as (client, sent):
        assert client.post("/predict", json=body).status_code == 422
    assert sent.predictions == []


def test_feedback_becomes_an_event(start: Start, now: datetime) -> None:
    given = {"event_id": "e1", "prediction_time": "2026-11-25T05:00:00.5+02:00", "label": "weather"}
    with start() as (client, sent):
        response = client.post("/feedback", json=given)
    assert response.status_code == 202
    event = FeedbackEvent.model_validate(sent.feedback[0])
    assert (event.feedback_id, event.kind) == (response.json()["feedback_id"], "label")
    assert (event.event_id, event.label, event.feedback_time) == ("e1", "weather", now)
    assert sent.feedback[0]["prediction_time"] == "2026-11-25T03:00:00.500000Z"


def test_answer_goes_back_as_feedback_to_the_microsecond(start: Start) -> None:
    with start() as (client, sent):
        answer = client.post("/predict", json={"text": "a"}).json()
        label = {"event_id": answer["event_id"], "prediction_time": answer["event_time"], "label": "b"}
        assert client.post("/feedback", json=label).status_code == 202
    assert sent.feedback[0]["prediction_time"] == sent.predictions[0]["event_time"] == "2026-11-25T03:00:00.123456Z"


@pytest.mark.parametrize(
    "change", [{"prediction_time": "2026-11-25T03:00:00"}, {"label": ""}, {"event_id": ""}, {"label": None}, {"x": 1}]
)
def test_feedback_refuses_what_cannot_be_joined(start: Start, change: dict[str, Any]) -> None:
    good = {"event_id": "e1", "prediction_time": "2026-11-25T03:00:00Z", "label": "weather"}
    with start() as (client, sent):
        assert client.post("/feedback", json=good | change).status_code == 422
    assert sent.feedback == []


def test_openapi_page_lists_every_path_and_loads_nothing(start: Start) -> None:
    with start() as (client, _):
        page = client.get("/docs").text
        paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/predict", "/feedback", "/health", "/health/live", "/health/ready", "/metrics"}
    assert all(path in page for path in paths)
    assert "<script" not in page
    assert "://" not in page


def test_body_limit_leaves_other_traffic_alone() -> None:
    import asyncio

    from pegel.serving.body_limit import BodyLimit

    seen = []

    async def app(scope: Any, *_: Any) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        del message

    asyncio.run(BodyLimit(app, 1, 1.0)({"type": "lifespan"}, receive, send))
    assert seen == ["lifespan"]
