"""`pegel explain`: an incident in words, told from real tables."""

from datetime import timedelta

import pytest

from pegel.errors import SettingsError
from pegel.jobs.explain import main

HOSTILE = "x\x1b[31m\nWhat happens next: nothing"


def verdict(column: str, statistic: float, *, rang: bool = True) -> dict:
    return {
        "column": column, "rang": rang, "calibrated": True, "lag": 1, "n": 200, "statistic": statistic,
        "threshold": 30.0, "p_value": 1e-9, "effect": 0.6, "direction": "location",
    }  # fmt: skip


def block(segment: str, *verdicts: dict, **change) -> dict:
    return {
        "model": "assistant", "version": "1", "segment": segment, "block_no": 0, "batch_id": 7, "first_batch_id": 7,
        "last_batch_id": 7, "n": 200, "grid": "g", "baseline_id": "base-1", "verdicts": list(verdicts), "state": "{}",
    } | change  # fmt: skip


def batch(batch_id: int, **change) -> dict:
    counts = {"received": 100, "stored": 97, "dead_letters": 2, "duplicates": 1, "in_partials": 97}
    feedback = dict.fromkeys(
        ("feedback_received", "feedback_stored", "feedback_dead_letters", "feedback_duplicates"), 0
    )
    return {"query_id": "q", "batch_id": batch_id, "generation": 0, "offsets": [], **counts, **feedback, **change}


@pytest.fixture
def story(tables, row):
    """A confirmed incident of micro-batch 7 with everything that can be known about it, and one beside it."""
    at = row(7)["decided_time"]
    evidence = {"first_batch_id": 6, "last_batch_id": 8}
    tables.append("alerts", [row(7, **evidence), row(7, "confirmed", 2, batch_id=9, **evidence), row(50)])
    rung = [verdict("input_length", 90.0), verdict("confidence", 300.0), verdict("quiet", 3.0, rang=False)]
    tables.append(
        "blocks",
        [
            block("*", *rung, last_enqueued=at),
            block("channel=web", verdict("input_length", 60.0), last_enqueued=at),
            block("*", verdict("other_version", 900.0), version="2", last_enqueued=at),
            block("*", verdict("later", 900.0), block_no=1, batch_id=8, last_enqueued=at),
        ],
    )
    tables.append("batches", [batch(n) for n in range(5, 11)])
    gap = {"query_id": "q", "batch_id": 8, "hub": "h", "partition": "0", "first_offset": 10, "last_offset": 14}
    tables.append("gaps", [{**gap, "cause": "expired"}, {**gap, "batch_id": 5, "first_offset": 0, "cause": "expired"}])
    first, second = row(7)["alert_id"], row(7, "x", 2)["alert_id"]
    tables.append(
        "deliveries",
        [
            {"alert_id": first, "sink": "webhook", "attempt": 1, "state": "claimed", "at": at},
            {"alert_id": first, "sink": "webhook", "attempt": 1, "state": "failed", "at": at, "detail": "answered 503"},
            {"alert_id": second, "sink": "webhook", "attempt": 2, "state": "sent", "at": at, "detail": "204 by hooks"},
            {"alert_id": row(50)["alert_id"], "sink": "webhook", "attempt": 1, "state": "sent", "at": at},
        ],
    )
    incident = row(7)["incident_id"]
    call = {
        "call_id": "c", "received_at": at + timedelta(seconds=60), "azure_alert_id": "a", "condition": "Fired",
        "alert_rule": "pegel-retrain", "model": "assistant", "incident_id": incident, "outcome": "started",
        "run_id": "77", "detail": "the retraining has started",
    }  # fmt: skip
    tables.append("webhook_calls", [call, {**call, "call_id": "d", "incident_id": "other"}])
    done = {"incident_id": incident, "attempt": 1, "model": "assistant", "at": at + timedelta(seconds=90)}
    tables.append("retrainings", [{**done, "state": "rejected", "detail": "it is no better"}])
    move = {"model": "assistant", "expected_version": "1", "new_version": "2", "at": at + timedelta(seconds=95)}
    moves = [{**move, "by": f"{incident}:1", "reason": "promoted"}, {**move, "by": "other:1", "reason": "rolled_back"}]
    tables.append("promotions", moves)
    return incident


@pytest.fixture
def told(tmp_path, capsys):
    def _told(wanted: str) -> str:
        assert main([wanted, "--set", f"storage.root={tmp_path}/tables"]) == 0
        return capsys.readouterr().out

    return _told


def test_incident_is_told_with_its_size_its_causes_its_data_and_what_was_done(story, told):
    text = told(story)
    assert f"Incident {story}: confirmed" in text
    assert "assistant 1, all traffic; rule drift" in text
    assert "0.6 baseline standard deviations over n = 200 events; statistic 90.5, bound 30" in text
    assert "not calibrated yet" in text
    assert "micro-batches 6 to 8, baseline base-1" in text
    assert "300 events read: 291 stored, 6 refused, 3 copies; 5 expired unread; all accounted for" in text
    assert text.index("10 times its bound: confidence in all traffic") < text.index("3 times its bound: input_length")
    assert "2 times its bound: input_length in segment channel=web" in text
    assert "webhook: opened failed, attempt 1, answered 503" in text
    assert "webhook: confirmed sent, attempt 2, 204 by hooks" in text
    assert "webhook: Fired of pegel-retrain started, the retraining has started, run 77" in text
    assert text.index("run 77") < text.index("retraining 1: rejected, it is no better")
    assert "champion: 1 gave way to version 2, promoted" in text
    assert "docs/runbook/drift.md" in text
    for other in ("rolled_back", "other_version", "later", "quiet ", "claimed"):
        assert other not in text.split("What happens next")[0].replace("quiet blocks", "")


def test_rate_that_rang_is_told_with_its_bound(tables, row, told):
    rate = verdict("error_rate", 60.0) | {"hits": 20, "bound": 0.011}
    del rate["direction"]
    tables.append("alerts", [row(7)])
    tables.append("blocks", [block("*", last_enqueued=row(7)["decided_time"], rates=[rate])])
    said = "2 times its bound: error_rate in all traffic, effect 0.6, n = 200, 0.1 where at most 0.011 is harmless"
    assert said in told(row(7)["incident_id"])


def test_alert_tells_the_incident_that_it_is_of(story, told, row):
    assert told(row(7, "x", 2)["alert_id"]) == told(story)


def test_incident_without_anything_but_its_first_row_can_be_told(tables, row, told):
    bare = dict.fromkeys(("value", "threshold", "effect", "p_value", "n", "since", "baseline_id"))
    tables.append("alerts", [row(1, columns=[], **bare)])
    text = told(row(1)["incident_id"])
    assert "an unknown time" in text
    assert "How large" not in text


def test_counts_that_do_not_add_up_are_said_to(tables, row, told):
    tables.append("alerts", [row(1)])
    tables.append("batches", [batch(1, stored=90)])
    assert "NOT all accounted for" in told(row(1)["incident_id"])


def test_names_from_outside_cannot_write_lines_of_their_own_or_colour_them(tables, row, told):
    named = {"title": HOSTILE, "message": HOSTILE, "segment": HOSTILE, "column": HOSTILE, "columns": [HOSTILE]}
    tables.append("alerts", [row(1, **named)])
    text = told(row(1)["incident_id"])
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith("What happens next")] == [
        "What happens next: its windows confirm or retract it by themselves once they are final."
    ]


@pytest.mark.parametrize("wanted", ["nobody", "", "' OR 1=1 --"])
def test_id_that_is_none_is_said_to(tables, row, told, wanted):
    tables.append("alerts", [row(1)])
    with pytest.raises(SettingsError, match="no incident and no alert"):
        told(wanted)
