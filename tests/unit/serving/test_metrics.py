"""The numbers for Prometheus are those that happened."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

Start = Callable[..., AbstractContextManager[tuple[TestClient, Any]]]


def read(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_requests_texts_refusals_and_events_are_counted(start: Start) -> None:
    with start() as (client, _):
        for body in ({"text": "a"}, {"inputs": [{"text": "a"}, {"text": "fail"}]}, {"text": "failure:timeout"}, {}):
            client.post("/predict", json=body)
        client.post("/predict", json={"text": "a", "stream": True})
        found = read(client)
    requests = "pegel_predict_requests_total"
    assert found[key(requests, caller="anonymous", version="3", status="200")] == 3
    assert found[key(requests, caller="anonymous", version="3", status="504")] == 1
    assert found[key(requests, caller="anonymous", version="none", status="422")] == 1
    assert found[key("pegel_predict_seconds_count")] == 5
    texts = "pegel_predictions_total"
    assert found[key(texts, version="3", outcome="allowed")] == 3
    assert found[key(texts, version="3", outcome="RuntimeError")] == 1
    assert found[key(texts, version="3", outcome="timeout")] == 1
    assert found[key("pegel_refusals_total", reason="not_a_request")] == 1
    assert found[key("pegel_champion_info", model="assistant", version="3")] == 1
    assert found[key("pegel_events_accepted_total", hub="predictions")] == 5
    assert found[key("pegel_events_dropped_total", hub="predictions")] == 0


def test_without_a_champion_serving_lives_but_is_not_ready(start: Start) -> None:
    with start(loaded=False) as (client, _):
        status = {path: client.get(path).status_code for path in ("/health", "/health/live", "/health/ready")}
        found = read(client)
    assert status == {"/health": 503, "/health/live": 200, "/health/ready": 503}
    assert found[key("pegel_ready")] == 0
    assert found[key("pegel_champion_info", model="assistant", version="none")] == 1
