"""The demo's last line is what the tables say, and CLOSED takes a resolved incident and a proof."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pegel.local.demo.story import CLOSED, RESOLVED, ROLLED_BACK, TIMED_OUT, Story
from pegel.schemas.tables import ALERTS, BATCHES
from pegel.tables.delta import DeltaTables

BEGIN = datetime(2026, 11, 25, 3, tzinfo=UTC)
ZEROS: dict[str, Any] = {"string": "", "int": 0, "bigint": 0, "timestamp": BEGIN}


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def alert(sequence: int, state: str, seconds: float) -> dict[str, Any]:
    required = {c.name: ZEROS.get(c.type, []) for c in ALERTS.columns if not c.nullable}
    return required | {
        "alert_id": f"a{sequence}", "incident_id": "i", "sequence": sequence, "state": state, "title": state,
        "decided_time": at(seconds), "enqueued_time": at(seconds - 4),
    }  # fmt: skip


def batch(number: int, stored: int, dead: int, duplicates: int) -> dict[str, Any]:
    required = {c.name: ZEROS.get(c.type, []) for c in BATCHES.columns if not c.nullable}
    return required | {"batch_id": number, "stored": stored, "dead_letters": dead, "duplicates": duplicates}


def retraining(state: str, seconds: float) -> dict[str, Any]:
    return {"incident_id": "i", "attempt": 1, "state": state, "at": at(seconds), "model": "m"}


def story(tmp_path: Path) -> tuple[DeltaTables, Story, list[str]]:
    tables, told = DeltaTables(str(tmp_path)), []
    return tables, Story(tables, lambda _at, title, _details: told.append(title), onset=at(0)), told


def test_a_turn_is_told_once_and_in_order(tmp_path: Path) -> None:
    tables, watched, told = story(tmp_path)
    tables.append("alerts", [alert(2, "confirmed", 30), alert(1, "opened", 10)])
    watched.look()
    watched.look()
    tables.append("retrainings", [retraining("started", 40)])
    watched.look()
    assert told == ["incident opened", "incident confirmed", "retraining started"]


def test_closed_takes_both_a_resolved_incident_and_a_proof(tmp_path: Path) -> None:
    tables, watched, _ = story(tmp_path)
    assert watched.state is None
    tables.append("alerts", [alert(1, "opened", 10), alert(2, "resolved", 90)])
    assert watched.state is None
    tables.append("retrainings", [retraining("proven", 80)])
    assert watched.state == CLOSED


def test_an_incident_that_asked_for_no_retraining_is_resolved_and_told_by_its_cause(tmp_path: Path) -> None:
    tables, watched, told = story(tmp_path)
    tables.append(
        "alerts", [alert(1, "opened", 10), {**alert(2, "confirmed", 20), "action": "page", "cause": "unknown"}]
    )
    watched.look()
    assert (watched.state, watched.cause, told[-1]) == (None, "unknown", "diagnosed")
    tables.append("alerts", [alert(3, "resolved", 90)])
    assert watched.state == RESOLVED


def test_a_rollback_is_no_closing(tmp_path: Path) -> None:
    tables, watched, _ = story(tmp_path)
    tables.append("alerts", [alert(1, "opened", 10)])
    tables.append("retrainings", [retraining("rolled_back", 80)])
    assert watched.state == ROLLED_BACK


def test_the_outcome_adds_up_the_tables(tmp_path: Path) -> None:
    tables, watched, _ = story(tmp_path)
    tables.append("batches", [batch(0, 90, 3, 2), batch(1, 5, 0, 0)])
    tables.append("alerts", [alert(1, "opened", 10), alert(2, "resolved", 90)])
    tables.append(
        "deliveries",
        [{"alert_id": "a1", "sink": "azure_monitor", "attempt": 1, "state": "sent", "at": at(12.5)}],
    )
    tables.append("retrainings", [retraining("started", 40), retraining("proven", 80)])

    outcome = watched.outcome(100, TIMED_OUT)

    assert (outcome.events_stored, outcome.dead_letters, outcome.duplicates) == (95, 3, 2)
    assert outcome.onset_to_alert_s == 12.5
    assert outcome.event_to_alert_p95_s == 6.5
    assert outcome.recovered_s == 80
    assert (outcome.retrain_runs, outcome.incident_id, outcome.alert_id) == (1, "i", "a1")
    assert outcome.state == TIMED_OUT


def test_an_incident_that_was_retracted_is_not_the_one_that_is_told(tmp_path: Path) -> None:
    tables, watched, _ = story(tmp_path)
    early = alert(1, "opened", -30) | {"incident_id": "early", "alert_id": "e1"}
    tables.append("alerts", [early, early | {"alert_id": "e2", "sequence": 2, "state": "retracted"}])
    tables.append("alerts", [alert(1, "opened", 10)])
    assert watched.outcome(0, TIMED_OUT).incident_id == "i"
