"""The usage policy over HTTP: who gets in, what is told, and what the audit trail holds of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pegel.schemas.events import PredictionEvent

Start = Callable[..., AbstractContextManager[tuple[TestClient, Any]]]

SHOP, TILL = "s" * 40, "t" * 40
USAGE = """
usage:
  disclosure: Made by a machine.
  purposes: {support: {risk: low}, advice: {risk: high}}
  forbidden_uses: [{name: scoring, says: Nobody is scored.}]
  content:
    - {name: weapons, phrases: [make a bomb], forbids: true, says: No weapons.}
    - {name: health, phrases: [dose], risk: high, says: Looked at.}
  review: {review_from: high, withhold_from: WITHHOLD}
  callers:
    - {name: shop, keys: [{env: SHOP}], models: [assistant], purposes: [support, advice], requests_per_minute: 5}
    - {name: till, keys: [{env: TILL}], models: [other], purposes: [support], requests_per_minute: 5}
"""


@pytest.fixture
def served(start: Start, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    monkeypatch.setenv("SHOP", SHOP)
    monkeypatch.setenv("TILL", TILL)
    withhold = getattr(request, "param", "null")
    with start(usage=USAGE.replace("WITHHOLD", withhold)) as (client, sent):
        yield client, sent


def ask(client: TestClient, key: str | None = SHOP, **body: Any) -> Any:
    headers = {"X-API-Key": key} if key is not None else {}
    return client.post("/predict", json={"text": "hello"} | body, headers=headers)


@pytest.mark.parametrize("path", ["/predict", "/feedback"])
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no_credentials"),
        ({"X-API-Key": ""}, "unknown_key"),
        ({"X-API-Key": SHOP[:-1]}, "unknown_key"),
        ({"X-API-Key": SHOP + "s"}, "unknown_key"),
        ({"X-API-Key": "é".encode("latin-1")}, "unknown_key"),
        ({"Authorization": f"Bearer {SHOP}"}, "no_credentials"),
    ],
)
def test_a_caller_without_its_key_is_refused_before_its_body_is_looked_at(
    served: Any, path: str, headers: Any, reason: str
) -> None:
    client, sent = served
    answer = client.post(path, content=b"no json", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (401, reason)
    assert "ApiKey" in answer.headers["WWW-Authenticate"]
    assert [(d["actor"], d["decision"], d["reason"]) for d in sent.decisions] == [("unknown", "refused", reason)]


def test_a_caller_with_its_key_is_answered_with_the_disclosure_and_named_in_event_and_trail(served: Any) -> None:
    client, sent = served
    answer = ask(client)
    assert (answer.status_code, answer.json()["disclosure"]) == (200, "Made by a machine.")
    assert (answer.json()["review"], answer.json()["finish_reason"]) == (None, "stop")
    (decided,) = sent.decisions
    assert (decided["actor"], decided["action"], decided["decision"]) == ("shop", "serving.predict", "allowed")
    assert decided["evidence"]["event_id"] == answer.json()["event_id"]
    assert (decided["evidence"]["version"], len(decided["evidence"]["policy"])) == ("3", 16)
    client.__exit__(None, None, None)
    (event,) = sent.predictions
    assert (event["caller"], event["purpose"], "review" in event) == ("shop", "support", False)


@pytest.mark.parametrize(
    ("key", "body", "reason", "rule"),
    [
        (TILL, {}, "model_not_allowed", "assistant"),
        (SHOP, {"purpose": "cooking"}, "purpose_not_allowed", "cooking"),
        (SHOP, {"purpose": "scoring"}, "forbidden_use", "scoring"),
        (SHOP, {"text": "How to MAKE a bomb?"}, "forbidden_content", "weapons"),
    ],
)
def test_what_the_policy_forbids_is_refused_by_name_and_no_model_is_asked(
    served: Any, key: str, body: dict[str, str], reason: str, rule: str
) -> None:
    client, sent = served
    answer = ask(client, key, **body)
    assert answer.status_code == 403
    assert (answer.json()["reason"], answer.json()["rule"]) == (reason, rule)
    (decided,) = sent.decisions
    assert (decided["decision"], decided["reason"], decided["evidence"]["rule"]) == ("refused", reason, rule)
    client.__exit__(None, None, None)
    assert sent.predictions == []


def test_a_caller_beyond_its_limit_is_told_when_to_come_back(served: Any) -> None:
    client, sent = served
    assert [ask(client).status_code for _ in range(5)] == [200] * 5
    answer = ask(client)
    assert (answer.status_code, answer.json()["reason"]) == (429, "limit_of_caller")
    assert 1 <= int(answer.headers["Retry-After"]) <= 12
    assert ask(client, TILL).status_code == 403, "another caller has a limit of its own"
    assert [d["reason"] for d in sent.decisions][-2:] == ["limit_of_caller", "model_not_allowed"]


def test_each_text_of_a_batch_counts_against_the_limit(served: Any) -> None:
    client, _ = served
    inputs = [{"text": "a"}] * 3

    def batch(texts: list[Any]) -> Any:
        return client.post("/predict", json={"inputs": texts}, headers={"X-API-Key": SHOP})

    assert [batch(inputs).status_code for _ in range(2)] == [200, 429]
    too_many = batch([{"text": "a"}] * 6)
    assert (too_many.status_code, "Retry-After" in too_many.headers) in {(403, False), (429, True)}


@pytest.mark.parametrize("body", [{"purpose": "advice"}, {"text": "which dose?"}])
def test_a_risky_answer_goes_out_and_asks_for_review(served: Any, body: dict[str, str]) -> None:
    client, sent = served
    answer = ask(client, **body).json()
    assert (answer["output"], answer["review"]) == ("greeting", "required")
    assert sent.decisions[-1]["decision"] == "required"
    client.__exit__(None, None, None)
    assert sent.predictions[0]["review"] == "required"


@pytest.mark.parametrize("served", ["high"], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
def test_a_withheld_answer_is_in_the_event_and_nowhere_else(served: Any, stream: bool) -> None:
    client, sent = served
    answer = ask(client, text="which dose?", stream=stream)
    assert answer.status_code == 200
    assert "greeting" not in answer.text
    assert "gree" not in answer.text.replace("agree", "")
    told = json.loads(answer.text.partition("data: ")[2]) if stream else answer.json()
    assert (told["output"], told["probabilities"], told["review"]) == (None, {}, "withheld")
    assert sent.decisions[-1]["decision"] == "withheld"
    client.__exit__(None, None, None)
    event = PredictionEvent.model_validate(sent.predictions[0])
    assert (event.output, sent.predictions[0]["review"]) == ("greeting", "withheld")
    assert sent.predictions[0]["review_rules"] == ["health"]


def test_the_trail_holds_neither_texts_nor_keys(served: Any) -> None:
    client, sent = served
    for body in ({}, {"text": "zebra make a bomb"}, {"text": "zebra dose"}, {"purpose": "cooking"}):
        ask(client, **body)
    ask(client, key="wrong" * 9)
    said = repr(sent.decisions)
    assert len(sent.decisions) == 5
    for secret in ("zebra", SHOP, TILL, "wrongwrong", "greeting"):
        assert secret not in said


def test_feedback_needs_a_caller_and_is_in_the_trail(served: Any) -> None:
    client, sent = served
    label = {"event_id": "e1", "prediction_time": "2026-11-25T03:00:00Z", "label": "weather"}
    assert client.post("/feedback", json=label, headers={"X-API-Key": SHOP}).status_code == 202
    (decided,) = sent.decisions
    assert (decided["actor"], decided["action"], decided["evidence"]["event_id"]) == ("shop", "serving.feedback", "e1")


def test_what_shows_how_serving_stands_needs_no_caller(served: Any) -> None:
    client, _ = served
    paths = ("/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json")
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
