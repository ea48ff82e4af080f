"""The event of a prediction is written whatever a model adds to it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.events import MAX_EVENT_BYTES, PredictionEvent
from pegel.schemas.model_io import Answer
from pegel.serving.call import Call
from pegel.serving.event_body import event_body, finite, unicode_text

AT = datetime(2026, 11, 25, 3, tzinfo=UTC)
IDENTITY = {
    "event_id": "e1",
    "event_time": "2026-11-25T03:00:00Z",
    "model_name": "assistant",
    "model_version": "3",
    "input": "hello",
    "segments": {"channel": "web"},
    "latency_ms": 2.5,
    "caller": "shop",
    "event_type": "prediction",
    "schema_version": 1,
}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [*PredictionEvent.model_fields, "error.type", "gen_ai.request.model", "gen_ai.usage.input_tokens", "caller"]
) | st.text(max_size=8)


def call() -> Call:
    return Call("e1", AT, "assistant", "3", "hello", {"channel": "web"}, "shop", latency_ms=2.5)


def body_of(answer: Answer | None, error: str | None = None) -> dict[str, Any]:
    body = event_body(call(), answer, error, None)
    assert len(body) <= MAX_EVENT_BYTES
    PredictionEvent.model_validate_json(body)
    found: dict[str, Any] = json.loads(body)
    return found


@given(st.dictionaries(NAMES, ANYTHING, max_size=6), st.dictionaries(st.text(max_size=5), ANYTHING, max_size=4))
def test_whatever_a_model_adds_the_event_is_valid_and_says_who_and_what(added: Any, features: Any) -> None:
    body = body_of(Answer("greeting", {"greeting": 0.75}, features, added))
    assert {name: body.get(name) for name in IDENTITY} == IDENTITY
    assert (body["output"], body["probabilities"]) == ("greeting", {"greeting": 0.75})
    assert "error.type" not in body


@given(st.text(st.characters(categories=["L", "Cs", "Zs", "Cc"]), max_size=40))
def test_any_output_can_be_written(output: str) -> None:
    assert body_of(Answer(output, {output: 0.5}, {}))["output"] == unicode_text(output)


def test_what_a_model_may_add_arrives() -> None:
    added = {"gen_ai.usage.input_tokens": 7, "gen_ai.request.model": "gpt", "filter": {"hate": "safe"}, "n": [1, 2]}
    body = body_of(Answer("a", {}, {"x": 1.5}, added))
    assert {name: body[name] for name in added} == added
    assert body["features"] == {"x": 1.5}


def test_a_field_of_a_wrong_type_takes_no_other_along() -> None:
    added = {"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": 3, "filter": "safe"}
    body = body_of(Answer("a", {}, {"x": 1.5}, added))
    assert (body["gen_ai.usage.output_tokens"], body["filter"], body["features"]) == (3, "safe", {"x": 1.5})
    assert "gen_ai.usage.input_tokens" not in body


def test_an_event_never_becomes_larger_than_the_hub_takes() -> None:
    features = {f"f{i}": "x" * 10_000 for i in range(200)}
    body = body_of(Answer("a", {}, features, {f"n{i}": "y" * 7_000 for i in range(200)}))
    assert body["output"] == "a"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", None])
def test_what_is_no_number_is_no_probability(value: Any) -> None:
    assert finite({"a": 0.5, "b": value}) == {"a": 0.5}


def test_an_error_is_told_without_an_output() -> None:
    body = body_of(None, "timeout")
    assert (body["error.type"], "output" in body) == ("timeout", False)
