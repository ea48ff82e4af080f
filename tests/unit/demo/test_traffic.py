"""What the demo's traffic sends while data breaks or inputs move, without a server."""

import json
from typing import Any

import pytest

from pegel.local.demo.queries import Query, generated_pool
from pegel.local.demo.traffic import LOST_AT_ONCE, Traffic, TrafficPlan, longer_half

ANSWER = {
    "event_id": "e", "event_time": "2026-11-25T03:00:00Z", "version": "1", "output": "greeting",
    "probabilities": {"greeting": 0.9},
}  # fmt: skip


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> tuple[Traffic, list[str]]:
    sent: list[str] = []
    monkeypatch.setattr(Traffic, "_post", lambda *_: ANSWER)
    monkeypatch.setattr(Traffic, "_send", lambda _, bodies: sent.extend(bodies))
    return Traffic(generated_pool(7), TrafficPlan(), "http://x", "hub", "predictions", "assistant", "key"), sent


def test_an_app_that_leaves_fields_out_records_half_as_many_answers_again(traffic: tuple[Traffic, list[str]]) -> None:
    asking, sent = traffic
    for lost in (False, True, False):
        asking.fields_are_lost = lost
        for _ in range(2 * LOST_AT_ONCE):
            asking._ask(Query("hello there", "greeting"), "web")
    assert asking.sent == 6 * LOST_AT_ONCE
    asking._send_lost()
    asking._send_lost()
    events: list[dict[str, Any]] = [json.loads(body) for body in sent]
    assert len(events) == len({event["event_id"] for event in events}) == LOST_AT_ONCE
    assert {event["output"] for event in events} == {"greeting"}
    assert not any(event.get("input") or event.get("features") for event in events)


def test_long_queries_are_usual_ones_and_none_is_short(traffic: tuple[Traffic, list[str]]) -> None:
    pool = traffic[0].pool
    long = longer_half(pool.usual)
    assert {query.label for query in long} <= {query.label for query in pool.usual}
    assert 0.3 * len(pool.usual) < len(long) <= 0.5 * len(pool.usual)
    shortest = min(len(query.text) for query in long)
    assert all(len(query.text) < shortest for query in pool.usual if query not in set(long))
