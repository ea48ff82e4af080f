"""A prompt of the registry at ``/predict``: what the service says on its socket reaches caller and event."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from equipment.openai_resource import DEPLOYMENT, KEY, KEY_VARIABLE
from fastapi.testclient import TestClient

from pegel.local.openai import Fault, LocalOpenAi
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool


@dataclass
class Served:
    """A client of the application, and the prediction events that were sent."""

    client: TestClient
    serving: Serving
    events: list[dict[str, Any]]

    def predict(self, text: str, **more: Any) -> Any:
        return self.client.post("/predict", json={"text": text, **more})

    def event(self) -> dict[str, Any]:
        """The newest event, once everything has been sent."""
        self.serving.predictions.close()
        return self.events[-1]

    def wait_no_longer_than(self, seconds: float) -> None:
        """Shorten the model's patience with the service; a registration on a busy machine needs the usual one."""
        current = self.serving.champion.current
        assert current is not None
        model = current.model.unwrap_python_model()
        model._client = model._client.with_options(timeout=seconds)


@pytest.fixture
def served(prompted: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    made = prompted(re.sub(r"\W+", "-", request.node.name)[:100])
    made.validation = made.validation[:9]
    made.register_champion()
    events: list[dict[str, Any]] = []
    producers = [
        EventProducer(
            hub,
            lambda bodies, hub=hub: events.extend(json.loads(body) for body in bodies if hub == "predictions"),  # type: ignore[misc]
            Spool(tmp_path / hub),
            flush_seconds=0.01,
            max_buffered_events=1000,
        )
        for hub in ("predictions", "feedback")
    ]
    champion = Champion(made.settings)
    assert champion.poll()
    serving = Serving(made.settings, champion, *producers)
    with TestClient(create_app(serving)) as client:
        yield Served(client, serving, events)


def test_answer_and_its_event_carry_what_the_service_said(served: Served) -> None:
    answer = served.predict("play the song")
    assert (answer.status_code, answer.json()["output"]) == (200, "music")
    event = served.event()
    assert event["event_id"] == answer.json()["event_id"]
    assert event["gen_ai.request.model"] == DEPLOYMENT
    assert event["gen_ai.usage.input_tokens"] > 0
    assert event["gen_ai.response.finish_reasons"] == ["stop"]
    assert event["prompt_version"].endswith("_prompt/1")
    assert event["features"]["prompt_filter"] == "safe"
    assert [said["source_type"] for said in event["microsoft.foundry.content_filter.results"]] == [
        "prompt",
        "completion",
    ]


def test_stream_comes_in_pieces_and_its_event_is_whole(served: Served) -> None:
    answer = served.predict("set the timer", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    parts = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    said = [json.loads(part) for part in parts if part.startswith("{")]
    assert "".join(part.get("delta", "") for part in said) == "alarm"
    assert served.event()["output"] == "alarm"


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault(429, {"Retry-After": "7"}), 429, "rate_limited"),
        (Fault(401), 502, "access_refused"),
        (Fault(404), 502, "deployment_not_found"),
        (Fault(500), 503, "unavailable"),
        (Fault(hang=True), 504, "timeout"),
        (Fault(filter_answer=True), 400, "content_filter"),
    ],
)
def test_failure_of_the_service_is_a_clear_answer_and_an_event_without_output(
    served: Served, resource: LocalOpenAi, fault: Fault, status: int, reason: str
) -> None:
    resource.script(fault)
    if fault.hang:
        served.wait_no_longer_than(0.3)
    answer = served.predict("play the song")
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    event = served.event()
    assert event["error.type"] == reason
    assert event.get("output") is None
    assert event["gen_ai.request.model"] == DEPLOYMENT


def test_text_that_the_filter_refuses_is_the_callers_fault_and_says_so(served: Served) -> None:
    answer = served.predict("play a massacre")
    assert (answer.status_code, answer.json()["reason"]) == (400, "content_filter")
    event = served.event()
    assert event["features"]["prompt_filter"] == "high"


def test_key_that_is_wrong_for_a_while_stops_nothing_for_good(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "wrong")
    assert served.predict("play the song").status_code == 502
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert served.predict("play the song").status_code == 200
