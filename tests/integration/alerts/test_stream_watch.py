"""Beside a stream that dies or falls behind: it is found once, under one name, and Azure Monitor hears of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.policy import load_policy
from pegel.alerts.stream_watch import StreamWatch
from pegel.errors import OutsideError
from pegel.jobs.explain import read_story

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def after(self, seconds: float) -> None:
        self.now = NOON + timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(tables, clock):
    """A watch that knows nothing but the tables, as after a restart."""
    return lambda holder=None: StreamWatch(tables, load_policy("policy.yml"), lambda: holder, clock)


@pytest.fixture
def commit(tables):
    def _commit(batch_id: int, at: float, *waited: float) -> None:
        committed = NOON + timedelta(seconds=at)
        offset: dict[str, Any] = {"hub": "predictions", "first": 0, "last": 9, "count": 10}
        offsets = [
            offset | {"partition": str(n), "last_enqueued": committed - timedelta(seconds=seconds)}
            for n, seconds in enumerate(waited or (3.0,))
        ]
        counts = ("received", "stored", "dead_letters", "duplicates", "in_partials")
        counts += tuple(f"feedback_{name}" for name in counts[:4])
        marks = {"query_id": "q", "batch_id": batch_id, "generation": 0, "committed_at": committed}
        tables.append("batches", [marks | dict.fromkeys(counts, 0) | {"offsets": offsets}])

    return _commit


def told(rows):
    return [(row["rule"], row["state"], row["batch_id"]) for row in rows]


def test_healthy_stream_and_one_that_has_not_begun_give_no_row(watch, commit, clock, tables):
    assert watch().look() == []
    for n in range(4):
        commit(n, 300 * n)
        clock.after(300 * n + 899)
        assert watch().look() == []
    assert not tables.exists("pipeline_alerts")


def test_dead_stream_is_found_once_whoever_looks_and_ends_with_the_next_micro_batch(watch, commit, clock, tables):
    commit(7, 0)
    clock.after(901)
    assert told(watch().look()) == [("heartbeat", "opened", 7), ("heartbeat", "confirmed", 7)]
    clock.after(5000)
    assert watch().look() == []
    commit(8, 5001)
    clock.after(5002)
    assert told(watch().look()) == [("heartbeat", "resolved", 8)]
    assert watch().look() == []
    rows = tables.read("pipeline_alerts")
    assert len({row["incident_id"] for row in rows}) == 1
    assert len({row["alert_id"] for row in rows}) == 3
    assert len(read_story(tables, rows[0]["incident_id"]).alerts) == 3


def test_incident_whose_rule_was_taken_out_of_the_policy_ends(watch, commit, clock, tables):
    commit(7, 0)
    clock.after(901)
    watch().look()
    policy = load_policy("policy.yml")
    without = replace(policy, rules=tuple(rule for rule in policy.rules if rule.name != "heartbeat"))
    clock.after(910)
    for wanted in ([("heartbeat", "resolved", 7)], []):
        assert told(StreamWatch(tables, without, now=clock).look()) == wanted


def test_rule_that_rings_again_while_nothing_is_committed_pages_again_and_says_no_batch_came(
    commit, clock, tables, monitor, sink_settings
):
    policy = load_policy("policy.yml")
    commit(7, 0)
    found = []
    for at, allowed in ((901, 900.0), (1000, 7200.0), (1100, 900.0), (1105, 900.0)):
        rules = tuple(replace(r, for_seconds=allowed) if r.name == "heartbeat" else r for r in policy.rules)
        clock.after(at)
        found += StreamWatch(tables, replace(policy, rules=rules), now=clock).look()
    states = ["opened", "confirmed", "resolved", "opened", "confirmed"]
    assert [row["state"] for row in found] == states
    assert "Micro-batch 7 is still the newest" in found[2]["message"]
    assert "commits" not in found[2]["title"]
    Dispatcher(tables, [AzureMonitorSink(sink_settings(monitor))], Backoff(60, 50), clock).step()
    assert sorted(r.row["state"] for r in monitor.received) == sorted(states), "no two are copies of one"


def test_first_look_reads_one_row_of_batches(commit, clock, tables, monkeypatch):
    for n in range(5):
        commit(n, 10 * n)
    clock.after(41 + 901)
    rows, read = [], tables.read

    def _read(name: str, sql: str = "SELECT * FROM t"):
        found = read(name, sql)
        rows.extend(found if name == "batches" else ())
        return found

    monkeypatch.setattr(tables, "read", _read)
    found = StreamWatch(tables, load_policy("policy.yml"), now=clock).look()
    assert told(found) == [("heartbeat", "opened", 4), ("heartbeat", "confirmed", 4)]
    assert [row["batch_id"] for row in rows] == [4]


def test_page_comes_though_the_lease_cannot_be_read(commit, clock, tables):
    def _away() -> str:
        raise OutsideError("the storage is away")

    commit(7, 0)
    clock.after(901)
    found = StreamWatch(tables, load_policy("policy.yml"), _away, clock).look()
    assert told(found) == [("heartbeat", "opened", 7), ("heartbeat", "confirmed", 7)]
    assert "it is not known whether a process holds the lease" in found[0]["message"]


def test_lag_is_that_of_the_slowest_partition(watch, commit, clock):
    commit(0, 0, 3, 700, 5)
    clock.after(1)
    found = watch().look()
    assert told(found) == [("lag", "opened", 0), ("lag", "confirmed", 0)]
    assert found[0]["since"] == NOON - timedelta(seconds=700)


@pytest.mark.parametrize(("holder", "says"), [(None, "the stream is dead"), ("stream", "a process (stream) holds")])
def test_message_says_whether_a_process_is_there(watch, commit, clock, holder, says):
    commit(7, 0)
    clock.after(901)
    assert says in watch(holder).look()[0]["message"]


def test_stream_that_is_behind_is_found_until_it_is_below_half_of_that(watch, commit, clock):
    found = []
    for n, waited in enumerate((3, 599, 601, 900, 400, 301, 299, 3)):
        commit(n, 10 * n, waited)
        clock.after(10 * n + 1)
        found += watch().look()
    assert told(found) == [("lag", "opened", 2), ("lag", "confirmed", 2), ("lag", "resolved", 6)]
    assert found[0]["since"] == NOON + timedelta(seconds=20 - 601)


def test_azure_monitor_hears_of_a_dead_stream_beside_the_alerts_of_the_stream(
    watch, commit, clock, tables, row, monitor, sink_settings
):
    tables.append("alerts", [row(1)])
    commit(7, 0)
    dispatcher = Dispatcher(tables, [AzureMonitorSink(sink_settings(monitor))], Backoff(60, 50), clock)
    assert dispatcher.step().sent == 1
    clock.after(1000)
    watch().look()
    assert dispatcher.step().sent == 2
    commit(8, 1001)
    clock.after(1002)
    watch().look()
    assert dispatcher.step().sent == 1
    heard = [(r.row["rule"], r.row["state"], r.row["model"]) for r in monitor.received]
    assert heard == [
        ("drift", "opened", "assistant"),
        ("heartbeat", "opened", "*"),
        ("heartbeat", "confirmed", "*"),
        ("heartbeat", "resolved", "*"),
    ]
