"""A person has an alert that was given up sent once more: it leaves once, and the audit trail says who asked."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pegel.alerts.delivery.again import NotGivenUpError
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import Backoff
from pegel.jobs import deliver
from pegel.tables.delta import DeltaTables


@pytest.fixture
def job(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The job, told to do what is there; what it says to MLflow has tests of its own."""
    monkeypatch.setattr(deliver, "build_tracking", lambda *_: lambda: None)
    values = [f"storage.root={tmp_path}/tables", "delivery.sinks=[jsonl]", f"delivery.jsonl_path={tmp_path}/out/alerts"]
    sets = [part for value in values for part in ("--set", value)]
    return lambda *more: deliver.main(["--available-now", *sets, *more])


@pytest.fixture
def given_up(tables: DeltaTables, row: Any, tmp_path: Any) -> str:
    """An alert that was given up at its first attempt, since a file stood where its folder should be."""
    tables.append("alerts", [row(1)])
    (tmp_path / "out").write_text("in the way")
    assert Dispatcher(tables, [JsonLinesSink(f"{tmp_path}/out/alerts")], Backoff(60, 1)).step().dead == 1
    (tmp_path / "out").unlink()
    return str(row(1)["alert_id"])


def steps(tables: DeltaTables) -> list[tuple[int, str]]:
    return [(r["attempt"], r["state"]) for r in tables.read("deliveries", "SELECT * FROM t ORDER BY at, attempt")]


def test_alert_that_was_given_up_is_sent_once_when_a_person_asks_and_the_trail_says_who(
    job: Any, given_up: str, tables: DeltaTables, tmp_path: Any
) -> None:
    assert job() == 0, "what was given up is not tried by itself"
    assert not (tmp_path / "out").exists()
    assert job("--again", given_up, "--by", "Ada") == 0
    assert job() == 0
    assert [json.loads(line)["alert_id"] for line in (tmp_path / "out" / "alerts").read_text().splitlines()] == [
        given_up
    ]
    assert steps(tables) == [(1, "claimed"), (1, "dead"), (1, "again"), (2, "claimed"), (2, "sent")]
    (record,) = tables.read("audit_events_deliver")
    assert (record["actor"], record["decision"], record["subject"]) == (
        "the user Ada",
        "send again",
        f"alert {given_up}",
    )
    assert json.loads(record["evidence"])["sinks"] == ["jsonl"]


def test_alert_about_the_stream_is_sent_again_too(job: Any, tables: DeltaTables, row: Any, tmp_path: Any) -> None:
    tables.append("pipeline_alerts", [row(1, model="*", rule="heartbeat")])
    (tmp_path / "out").write_text("in the way")
    assert Dispatcher(tables, [JsonLinesSink(f"{tmp_path}/out/alerts")], Backoff(60, 1)).step().dead == 1
    (tmp_path / "out").unlink()
    assert job("--again", str(row(1)["alert_id"]), "--by", "Ada") == 0
    assert steps(tables)[-2:] == [(2, "claimed"), (2, "sent")]


def test_what_was_not_given_up_is_not_sent_again(job: Any, given_up: str, tables: DeltaTables) -> None:
    with pytest.raises(NotGivenUpError, match="no alert has the id"):
        job("--again", "unheard-of", "--by", "Ada")
    job("--again", given_up, "--by", "Ada")
    before = steps(tables)
    with pytest.raises(NotGivenUpError, match="jsonl: sent"):
        job("--again", given_up, "--by", "Ada")
    assert steps(tables) == before
    assert len(tables.read("audit_events_deliver")) == 1


def test_whoever_takes_over_after_a_crash_knows_that_a_person_asked(
    given_up: str, tables: DeltaTables, tmp_path: Any
) -> None:
    asked = {"alert_id": given_up, "sink": "jsonl", "attempt": 1, "state": "again", "at": datetime.now(UTC)}
    tables.append("deliveries", [asked])
    for sent in (1, 0):
        successor = Dispatcher(tables, [JsonLinesSink(f"{tmp_path}/out/alerts")], Backoff(60, 1))
        assert (successor.step().sent, successor.step().sent) == (sent, 0)
    (tmp_path / "out" / "alerts").unlink()
    assert steps(tables)[-2:] == [(2, "claimed"), (2, "sent")]
