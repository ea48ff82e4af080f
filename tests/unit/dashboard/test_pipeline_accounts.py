from dataclasses import replace
from datetime import timedelta

import pytest
from equipment.watched_evening import evening

from pegel.dashboard.views.deliveries import deliveries
from pegel.dashboard.views.pipeline import pipeline
from pegel.dashboard.views.words import Level

NAMES = ("batches", "dead_letters", "deliveries", "alerts")


@pytest.fixture
def rows(now):
    found = {name: evening(now, "confirmed", 10)[name] for name in NAMES}
    found["dead_letters"] = []
    return found


def accounts(rows, scope):
    return pipeline(rows, deliveries(rows, scope), scope)


def check_named(pipe, name):
    return next(check for check in pipe.checks if check.name == name)


def test_flow_sums_are_those_of_the_batches(rows, scope):
    flow = accounts(rows, scope).flows[0]

    assert flow.received == sum(r["received"] for r in rows["batches"])
    assert flow.received == flow.stored + flow.dead_letters + flow.duplicates
    assert flow.gap == 0


def test_every_check_holds_on_a_sound_evening(rows, scope):
    assert {check.level for check in accounts(rows, scope).checks} == {Level.OK}


@pytest.mark.parametrize("column", ["stored", "dead_letters", "duplicates", "feedback_stored", "feedback_duplicates"])
def test_one_missing_event_is_a_loud_violation(rows, scope, column):
    batch = rows["batches"][40]
    batch[column] -= 1

    check = check_named(accounts(rows, scope), "Counts add up")

    assert check.level is Level.BROKEN
    assert str(batch["batch_id"]) in check.says
    assert check.at == batch["committed_at"]


def test_a_loss_and_a_double_count_do_not_cancel_out(rows, scope):
    rows["batches"][10]["duplicates"] -= 1
    rows["batches"][20]["duplicates"] += 1
    pipe = accounts(rows, scope)

    assert pipe.flows[0].gap == 0
    assert check_named(pipe, "Counts add up").level is Level.BROKEN
    assert f"2 of {pipe.batches} batches" in check_named(pipe, "Counts add up").says


def test_stored_events_that_no_partial_counts_are_a_violation(rows, scope):
    rows["batches"][5]["in_partials"] -= 1

    assert check_named(accounts(rows, scope), "Stored is counted").level is Level.BROKEN


@pytest.mark.parametrize(("silent_for", "level"), [(30, Level.OK), (120, Level.WATCH), (900, Level.BROKEN)])
def test_silence_is_suspicious_and_then_a_fault(rows, scope, silent_for, level):
    last = max(r["committed_at"] for r in rows["batches"])
    later = replace(scope, now=last + timedelta(seconds=silent_for))

    assert check_named(accounts(rows, later), "Batches are committed").level is level


def test_batches_outside_the_hours_are_not_counted_and_the_last_commit_still_is(rows, scope):
    later = replace(scope, now=scope.now + timedelta(hours=scope.hours + 1))
    pipe = accounts(rows, later)

    assert pipe.batches == 0
    assert pipe.last_commit == max(r["committed_at"] for r in rows["batches"])


def test_lag_is_from_the_hub_to_the_commit(rows, scope):
    last = max(rows["batches"], key=lambda r: r["batch_id"])
    last["offsets"][0]["last_enqueued"] = last["committed_at"] - timedelta(seconds=45)
    pipe = accounts(rows, scope)

    assert pipe.lag == pytest.approx(45)
    assert check_named(pipe, "Events arrive soon").level is Level.WATCH


def test_dead_letters_of_one_reason_add_up_over_micro_batches(rows, scope, now):
    rows["dead_letters"] = [
        {"reason": "bad_value", "hub": "predictions", "n": 2, "newest": now - timedelta(minutes=2), "batch_id": 1},
        {"reason": "bad_value", "hub": "predictions", "n": 3, "newest": now - timedelta(minutes=1), "batch_id": 2},
        {"reason": "too_large", "hub": "predictions", "n": 1, "newest": now - timedelta(days=2), "batch_id": 0},
    ]

    (reason,) = accounts(rows, scope).reasons

    assert (reason.reason, reason.n, reason.newest) == ("bad_value", 5, now - timedelta(minutes=1))


def test_an_alert_that_does_not_leave_is_a_fault(rows, scope):
    rows["deliveries"] = []
    old = replace(scope, now=scope.now + timedelta(minutes=5), stale_seconds=600)
    late = replace(old, stale_seconds=60)

    assert deliveries(rows, old)[0].waiting == len(rows["alerts"])
    assert check_named(accounts(rows, old), "Alerts leave").level is Level.BROKEN  # the first alert is older still
    assert deliveries(rows, late)[0].oldest == min(r["decided_time"] for r in rows["alerts"])


def test_an_alert_on_its_way_is_no_fault(rows, scope):
    newest = max(rows["alerts"], key=lambda r: r["decided_time"])
    rows["deliveries"] = [r for r in rows["deliveries"] if r["alert_id"] != newest["alert_id"]]
    soon = replace(scope, now=newest["decided_time"] + timedelta(seconds=3))

    (sink,) = deliveries(rows, soon)

    assert (sink.waiting, sink.level) == (1, Level.OK)


def test_an_alert_that_was_given_up_is_a_fault(rows, scope):
    rows["deliveries"][-1]["state"] = "dead"

    (sink,) = deliveries(rows, scope)

    assert (sink.dead, sink.waiting, sink.level) == (1, 0, Level.BROKEN)


def test_a_sink_that_is_not_used_any_more_is_owed_nothing(rows, scope):
    rows["deliveries"].append({**rows["deliveries"][0], "sink": "jsonl", "state": "failed"})

    used, unused = deliveries(rows, scope)

    assert (used.sink, unused.sink, unused.waiting, unused.level) == ("azure_monitor", "jsonl", 0, Level.OK)


def test_no_batch_is_unknown_and_says_what_to_start(scope):
    pipe = accounts({name: [] for name in NAMES}, scope)

    assert pipe.level is Level.UNKNOWN
    assert "pegel stream" in pipe.checks[0].todo
