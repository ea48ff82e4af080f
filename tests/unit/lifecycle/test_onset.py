from datetime import datetime, timedelta
from typing import Any

import pytest

from pegel.errors import SettingsError
from pegel.lifecycle.onset import onset_of_incident
from pegel.tables.delta import DeltaTables


def alert(start: datetime, sequence: int, state: str, since: datetime | None, **change: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "alert_id": f"a{sequence}",
        "incident_id": "i1",
        "sequence": sequence,
        "state": state,
        "batch_id": sequence,
        "rule": "drift",
        "model": "assistant",
        "version": "1",
        "segment": "*",
        "column": "confidence",
        "columns": ["confidence"],
        "severity": 2,
        "action": "retrain",
        "first_batch_id": 1,
        "last_batch_id": 2,
        "since": since,
        "event_time": start + timedelta(minutes=5),
        "windows": [],
        "decided_time": start + timedelta(minutes=6),
        "title": "t",
        "message": "m",
        "runbook": "r",
        "policy_hash": "p",
        "code_version": "0",
    }
    return row | change


def test_onset_is_the_first_estimate_of_the_incident(tables: DeltaTables, start: datetime) -> None:
    later = start + timedelta(minutes=1)
    rows = [alert(start, 2, "confirmed", later), alert(start, 1, "opened", start), alert(start, 3, "resolved", None)]
    tables.append("alerts", rows)
    onset = onset_of_incident(tables, "assistant", "i1", 5)
    assert (onset.incident_id, onset.since, onset.min_rows) == ("i1", start, 5)


def test_onset_without_an_estimate_is_the_newest_event_of_the_evidence(tables: DeltaTables, start: datetime) -> None:
    tables.append("alerts", [alert(start, 1, "opened", None)])
    assert onset_of_incident(tables, "assistant", "i1", 5).since == start + timedelta(minutes=5)


def test_onset_is_refused_where_there_is_nothing_to_retrain_for(tables: DeltaTables, start: datetime) -> None:
    with pytest.raises(SettingsError, match="no incident"):
        onset_of_incident(tables, "assistant", "i1", 5)
    tables.append("alerts", [alert(start, 1, "opened", start)])
    with pytest.raises(SettingsError, match="is about the model"):
        onset_of_incident(tables, "other", "i1", 5)
    tables.append("alerts", [alert(start, 2, "retracted", start)])
    with pytest.raises(SettingsError, match="retracted"):
        onset_of_incident(tables, "assistant", "i1", 5)
