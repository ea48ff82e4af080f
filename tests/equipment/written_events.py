"""Small events as JSON that is written down sign by sign, and a way to draw many cases at once."""

import json
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

NOW = "2026-11-25T03:00:00.123456Z"
PREDICTION = {"event_id": "e1", "event_time": NOW, "model_name": "assistant", "model_version": "1"}
FEEDBACK_EVENT = {"feedback_id": "f1", "event_id": "e1", "prediction_time": NOW, "feedback_time": NOW}

T = TypeVar("T")


def text(**changes: Any) -> bytes:
    """A good prediction with these fields."""
    return json.dumps(PREDICTION | changes).encode()


def with_raw(name: str, written: str) -> bytes:
    """A good prediction with one more field, written as it stands here."""
    return f'{json.dumps(PREDICTION)[:-1]}, "{name}": {written}}}'.encode()


def without(name: str) -> bytes:
    """A prediction that lacks a field."""
    return json.dumps({key: value for key, value in PREDICTION.items() if key != name}).encode()


def feedback(**changes: Any) -> bytes:
    """A good feedback with these fields."""
    return json.dumps(FEEDBACK_EVENT | changes).encode()


class Written(str):
    """A piece of JSON that stands as it is."""


def rendered(value: Any) -> str:
    """JSON in which an object is a tuple of pairs, so that a key may come twice, and a number is as it was written."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, tuple):
        return "{" + ",".join(f"{_key(key)}:{rendered(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(rendered, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return str(key) if isinstance(key, Written) else json.dumps(key)


def drawn(strategy: SearchStrategy[T], examples: int) -> list[T]:
    """Examples of a strategy, the same each time, to be packed into one frame."""
    found: list[T] = []

    @given(strategy)
    @settings(
        max_examples=examples, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def collect(value: T) -> None:
        found.append(value)

    collect()
    return found
