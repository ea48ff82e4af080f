from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pegel.alerts import pipeline_health
from pegel.alerts.incidents import Incidents
from pegel.schemas.health import REMEMBERED, BatchHealth
from pegel.schemas.policy import Action, Rule, RuleKind

NO_DATA = Rule("no-data", RuleKind.NO_DATA, "*", 0.0, 1, Action.PAGE, "no-data.md", 300.0)
DEAD = Rule("dead-letters", RuleKind.DEAD_LETTERS, "*", 0.0, 2, Action.PAGE, "dead-letters.md", 60.0, 0.02)
DRIFT = Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.RETRAIN, "drift.md")
BOTH = frozenset({"predictions/0", "predictions/1"})


@pytest.fixture
def chosen(policy):
    return policy(rules=(DRIFT, NO_DATA, DEAD))


@pytest.fixture
def at(facts):
    """Facts of a micro-batch, one each 10 s of enqueued time, whose health may be changed."""

    def _at(batch_id: int, **change: Any):
        now = facts(batch_id)
        values = {"partitions": BOTH, "models": frozenset({"assistant", "sorter"}), "received": 200, "dead_letters": 0}
        health = BatchHealth(**{"batch_id": batch_id, "newest_enqueued": now.enqueued_time, **values, **change})
        return replace(now, health=health)

    return _at


def run(incidents, facts, blocks=None, judge=None, retrainings=None):
    rows = []
    for now in facts:
        mine = (blocks or {}).get(now.batch_id, [])
        judged = {e.incident_id: judge(e) for e in incidents.unconfirmed()} if judge else {}
        rows += incidents.advance(mine, judged, retrainings or {}, now)
    return rows


def told(rows):
    return [(row["batch_id"], row["rule"], row["model"], row["state"]) for row in rows]


def test_partition_that_falls_silent_pages_after_the_rules_time_and_ends_when_it_is_heard(chosen, at):
    beats = [at(n, partitions=BOTH if n < 40 or n >= 80 else frozenset({"predictions/0"})) for n in range(90)]
    rows = run(Incidents(chosen), beats)
    # Heard last in 39; 300 s are 30 micro-batches.
    assert told(rows) == [
        (69, "no-data", "*", "opened"),
        (69, "no-data", "*", "confirmed"),
        (80, "no-data", "*", "resolved"),
    ]
    assert rows[0]["columns"] == ["predictions/1"]
    assert (rows[0]["first_batch_id"], rows[0]["since"], rows[1]["action"]) == (39, at(39).enqueued_time, "page")


def test_model_that_falls_silent_pages_under_its_own_name(chosen, at):
    both, one = frozenset({"assistant", "sorter"}), frozenset({"assistant"})
    rows = run(Incidents(chosen), [at(n, models=both if n < 40 or n > 90 else one) for n in range(99)])
    assert told(rows) == [(n, "no-data", "sorter", s) for n, s in ((69, "opened"), (69, "confirmed"), (91, "resolved"))]
    assert "No events of the model sorter" in rows[0]["title"]


def test_model_that_falls_silent_with_its_partition_is_one_incident(chosen, at):
    one = {"partitions": frozenset({"predictions/0"}), "models": frozenset({"assistant"})}
    rows = run(Incidents(chosen), [at(n, **(one if n >= 40 else {})) for n in range(99)])
    assert told(rows) == [(69, "no-data", "*", "opened"), (69, "no-data", "*", "confirmed")]


def test_rule_about_partitions_hears_no_model_and_one_about_models_none_that_fell_silent_with_its_partition(policy, at):
    partitions, models = replace(NO_DATA, columns=("partitions",)), replace(NO_DATA, name="m", columns=("models",))
    chosen = policy(rules=(partitions, models))
    quiet = {"models": frozenset({"assistant"})}
    evening = [at(n, **(quiet if n >= 40 else {})) for n in range(75)]
    assert {(rule, model) for _, rule, model, _ in told(run(Incidents(chosen), evening))} == {("m", "sorter")}
    together = [at(n, **(quiet | {"partitions": frozenset({"predictions/0"})} if n >= 40 else {})) for n in range(75)]
    assert {(rule, model) for _, rule, model, _ in told(run(Incidents(chosen), together))} == {("no-data", "*")}


def test_partitions_that_come_back_one_at_a_time_are_back(chosen, at):
    def heard(n):
        if n < 40 or n in (80, 95):
            return {"predictions/0", "predictions/1"} if n != 95 else {"predictions/0", "predictions/2"}
        return {"predictions/0"}

    beats = [at(n, partitions=frozenset(heard(n) | ({"predictions/2"} if n < 40 else set()))) for n in range(97)]
    rows = run(Incidents(chosen), beats)
    assert [(n, s) for n, _, _, s in told(rows)] == [(69, "opened"), (69, "confirmed"), (95, "resolved")]
    assert rows[0]["columns"] == ["predictions/1", "predictions/2"]


def test_who_left_what_is_remembered_is_taken_for_gone_and_holds_nothing_back_any_more(chosen, at, monkeypatch):
    remembered = 120
    monkeypatch.setattr(pipeline_health, "REMEMBERED", remembered)
    one = frozenset({"assistant"})
    whole = [at(n, **({} if n < 40 else {"models": one})) for n in range(45 + remembered)]
    rows = run(Incidents(chosen), whole)
    assert told(rows)[-1] == (39 + remembered, "no-data", "sorter", "resolved")
    assert "taken for gone" in rows[-1]["message"]
    assert "taken for gone" not in run(Incidents(chosen), [*whole[:70], at(70)])[-1]["message"]


@pytest.mark.parametrize("which", ["partition", "model"])
def test_incident_whose_rule_left_the_policy_ends_after_a_restart_and_says_so(chosen, policy, at, which):
    quiet = (
        {"partitions": frozenset({"predictions/0"})} if which == "partition" else {"models": frozenset({"assistant"})}
    )
    facts = [at(n, **(quiet if n >= 40 else {})) for n in range(75)]
    rows = run(Incidents(chosen), facts[:70])
    left = Incidents(policy(rules=(DRIFT, DEAD)))
    left.restore(rows, [], {}, [now.health for now in facts[:70]])
    [ended] = run(left, facts[70:])
    assert (ended["incident_id"], ended["batch_id"], ended["state"]) == (rows[0]["incident_id"], 70, "resolved")
    assert ended["title"] == "The rule no-data is not in the policy any more"


def test_a_night_without_any_event_is_nobodys_silence(chosen, at):
    evening = [at(n) for n in range(40)]
    dawn = at(40).health.newest_enqueued + timedelta(hours=9)
    morning = [
        at(n, newest_enqueued=dawn + timedelta(seconds=10 * n), partitions=frozenset({f"predictions/{n % 2}"}))
        for n in range(40, 60)
    ]
    assert run(Incidents(chosen), evening + morning) == []


def test_who_comes_seldom_has_three_times_its_longest_pause(chosen, at):
    seldom = [at(n, models=frozenset({"assistant", "sorter"} if n % 20 == 0 else {"assistant"})) for n in range(181)]
    gone = [at(n, models=frozenset({"assistant"})) for n in range(181, 260)]
    rows = run(Incidents(chosen), seldom + gone)
    assert told(rows)[0] == (240, "no-data", "sorter", "opened")  # 3 x 200 s after 180
    assert rows[0]["value"] is None, "seconds are no statistic"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_healthy_stream_opens_no_incident_of_the_pipeline(chosen, at, data):
    """Whoever pauses no longer than the rule's time, and refused events below the limit, whatever their order."""
    heard = data.draw(st.lists(st.booleans(), min_size=40, max_size=120))
    dead = data.draw(st.lists(st.integers(0, 4), min_size=len(heard), max_size=len(heard)))
    since, partitions = 0, []
    for is_heard in heard:
        since = 0 if is_heard or since >= 28 else since + 1
        partitions.append(BOTH if since == 0 else frozenset({"predictions/0"}))
    facts = [at(n, partitions=p, dead_letters=d) for n, (p, d) in enumerate(zip(partitions, dead, strict=True))]
    assert run(Incidents(chosen), facts) == []


def test_too_many_dead_letters_page_and_end_below_half_of_the_limit(chosen, at):
    rows = run(Incidents(chosen), [at(n, dead_letters=20 if 10 <= n < 20 else 3) for n in range(40)])
    assert [(n, s) for n, _, _, s in told(rows)] == [(11, "opened"), (11, "confirmed")]
    rows = run(Incidents(chosen), [at(n, dead_letters=20 if 10 <= n < 20 else 1) for n in range(40)])
    assert [(n, s) for n, _, _, s in told(rows)][2:] == [(25, "resolved")]


def test_few_events_are_not_judged_by_their_share_alone(chosen, at):
    assert run(Incidents(chosen), [at(1, received=4, dead_letters=1)]) == []
    assert len(run(Incidents(chosen), [at(1, received=4, dead_letters=3)])) == 2


def sick(n, at):
    return at(n, dead_letters=60 if 10 <= n < 20 else 0)


def test_drift_while_the_pipeline_is_sick_is_recorded_and_neither_sent_nor_retrained(chosen, at, block, verdict):
    loud = {n: [block(n, verdict("a", rang=True, calibrated=True))] for n in range(14, 40)}
    rows = run(Incidents(chosen), [sick(n, at) for n in range(30)], loud, judge=lambda _: loud[20][0].columns)
    fault = rows[0]["incident_id"]
    drift = [row for row in rows if row["rule"] == "drift"]
    end = next(row["batch_id"] for row in rows if row["state"] == "resolved")
    assert [(r["batch_id"], r["state"], r["action"], r["inhibited_by"]) for r in drift] == [
        (14, "opened", "none", fault),
        (end, "retracted", "none", fault),
        # Blocks of that micro-batch belong to what ended in it; the next ones speak for themselves.
        (end + 1, "opened", "retrain", None),
        (end + 2, "confirmed", "retrain", None),
    ]
    assert "retrains nothing" in drift[0]["message"]


def test_drift_from_before_the_fault_waits_for_its_end_and_is_then_settled(chosen, at, block, verdict):
    loud = {9: [block(9, verdict("a", rang=True, calibrated=True))]}
    incidents = Incidents(chosen)
    rows = run(incidents, [sick(n, at) for n in range(10)], loud)
    rows += run(incidents, [sick(n, at) for n in range(10, 30)], judge=lambda _: loud[9][0].columns)
    end = next(row["batch_id"] for row in rows if row["state"] == "resolved")
    drift = [(row["batch_id"], row["state"], row["action"]) for row in rows if row["rule"] == "drift"]
    assert drift == [(9, "opened", "retrain"), (end, "confirmed", "retrain")]


def test_silence_of_one_model_inhibits_no_other(chosen, at, block, verdict):
    facts = [at(n, models=frozenset({"assistant"} if n >= 40 else {"assistant", "sorter"})) for n in range(75)]
    loud = {72: [block(72, verdict("a", rang=True))]}
    rows = run(Incidents(chosen), facts, loud)
    assert [(r["rule"], r["inhibited_by"]) for r in rows if r["state"] == "opened"] == [
        ("no-data", None),
        ("drift", None),
    ]


def test_fault_that_calls_nobody_inhibits_nothing_and_does_not_say_so(policy, at, block, verdict):
    loud = {14: [block(14, verdict("a", rang=True, calibrated=True))]}
    facts = [sick(n, at) for n in range(30)]
    for action, inhibits in ((Action.PAGE, True), (Action.NONE, False)):
        rows = run(Incidents(policy(rules=(DRIFT, replace(DEAD, action=action)))), facts, loud)
        [drift] = [row for row in rows if row["rule"] == "drift" and row["state"] == "opened"]
        assert (drift["inhibited_by"] is not None, "retrains nothing" in rows[0]["message"]) == (inhibits, inhibits)
        assert len([row for row in rows if row["state"] == "retracted"]) == inhibits


_BATCH = st.tuples(
    st.sampled_from([BOTH, frozenset({"predictions/0"}), frozenset({"predictions/1"})]),
    st.sampled_from([0, 0, 0, 9, 60]),
    st.booleans(),
    st.sampled_from(["not final", "still", "gone"]),
    st.integers(0, 7).map(lambda n: n > 0),
    st.sampled_from([1, 10, 40, 4000]),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(history=st.lists(_BATCH, min_size=20, max_size=40), cut=st.integers(0, 40))
def test_restart_in_any_micro_batch_changes_no_row(policy, at, block, verdict, as_row, history, cut):
    rules = (DRIFT, replace(NO_DATA, for_seconds=30.0), DEAD, policy().rules[-1])
    chosen = policy(rules=rules, resolve_after_blocks=2)
    whole, broken = Incidents(chosen), Incidents(chosen)
    alerts: list[dict[str, Any]] = []
    blocks: list[dict[str, Any]] = []
    past: list[BatchHealth] = []
    conserved: dict[int, bool] = {}
    moment = at(0).enqueued_time
    for n, (partitions, dead, rang, judgement, adds_up, step) in enumerate(history):
        if n == cut:
            broken = Incidents(chosen)
            open_ids = {i.incident_id for i in whole.unresolved}
            left = [row for row in alerts if row["incident_id"] in open_ids]
            broken.restore(left, blocks, conserved, reversed(past[-REMEMBERED:]))
        moment += timedelta(seconds=step)
        now = replace(at(n, partitions=partitions, dead_letters=dead, newest_enqueued=moment), conserved=adds_up)
        mine = [block(n, verdict("a", rang=rang, calibrated=True))]
        judged = {
            e.incident_id: None if judgement == "not final" else (verdict("a", rang=judgement == "still"),)
            for e in whole.unconfirmed()
        }
        rows = whole.advance(mine, judged, {}, now)
        assert rows == broken.advance(mine, judged, {}, now)
        alerts += rows
        blocks += [as_row(b, n) for b in mine]
        past.append(now.health)
        conserved[n] = adds_up
    _check_inhibition(alerts)


def _check_inhibition(rows):
    sick: set[str] = set()
    for row in rows:
        if row["rule"] != "drift":
            (sick.discard if row["state"] == "resolved" else sick.add)(row["incident_id"])
        elif row["state"] == "opened":
            assert (row["inhibited_by"] in sick) if sick else row["inhibited_by"] is None
        elif row["state"] == "confirmed":
            assert not sick, "nothing is confirmed, and so retrained, while the pipeline is sick"
            assert row["inhibited_by"] is None
