from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pegel.alerts.incident import alert_key, incident_key, version_order
from pegel.alerts.incidents import Incidents
from pegel.schemas.policy import Action, Rule, RuleKind
from pegel.schemas.tables import ALERTS

PROVEN = "proven"


def run(incidents: Incidents, facts: Any, batches: Mapping[int, Sequence[Any]], **options: Any) -> list[dict[str, Any]]:
    """Advance batch by batch; whatever is unconfirmed is judged by ``options['judge'](evidence, batch_id)``."""
    judge = options.get("judge", lambda _evidence, _batch: None)
    retrainings = options.get("retrainings", lambda _batch: {})
    rows = []
    for batch_id in sorted(batches):
        judged = {e.incident_id: judge(e, batch_id) for e in incidents.unconfirmed()}
        conserved = batch_id not in options.get("lost", ())
        rows += incidents.advance(
            batches[batch_id], judged, retrainings(batch_id), facts(batch_id, conserved=conserved)
        )
    return rows


def states(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    return [(row["batch_id"], row["state"]) for row in rows]


@pytest.fixture
def ringing(verdict, block):
    return lambda batch_id, **change: block(batch_id, verdict("input_length", rang=True), **change)


@pytest.fixture
def quiet(verdict, block):
    return lambda batch_id, **change: block(batch_id, verdict("input_length", rang=False), **change)


def test_incident_opens_confirms_and_resolves_once(policy, facts, ringing, quiet):
    incidents = Incidents(policy())
    batches = {1: [quiet(1)], 2: [ringing(2)], 3: [ringing(3)], 4: [ringing(4)]}
    batches |= {n: [quiet(n, version="2")] for n in range(5, 12)}
    rows = run(
        incidents,
        facts,
        batches,
        judge=lambda _e, n: ringing(n).columns if n >= 3 else None,
        retrainings=lambda n: {incident_key("assistant", "drift", 2): PROVEN if n >= 9 else "proving"},
    )
    assert states(rows) == [(2, "opened"), (3, "confirmed"), (9, "resolved")]
    assert [row["sequence"] for row in rows] == [1, 2, 3]
    assert {row["incident_id"] for row in rows} == {incident_key("assistant", "drift", 2)}
    assert [row["alert_id"] for row in rows] == [alert_key(rows[0]["incident_id"], n) for n in (1, 2, 3)]
    assert incidents.unresolved == ()


def test_incident_row_fills_every_column_of_the_table(policy, facts, ringing):
    rows = run(Incidents(policy(), "1.2.3"), facts, {2: [ringing(2)], 3: []}, judge=lambda _e, n: ringing(n).columns)
    assert [set(row) for row in rows] == [set(ALERTS.names)] * 2
    pa.Table.from_pylist(rows, schema=ALERTS.arrow_schema).validate(full=True)
    opened, confirmed = rows
    assert (opened["value"], opened["threshold"], opened["effect"], opened["n"]) == (90.0, 30.0, 0.6, 200)
    assert (opened["first_batch_id"], opened["last_batch_id"], confirmed["last_batch_id"]) == (1, 2, 3)
    assert opened["window_end"] == facts(3).event_time
    assert (opened["policy_hash"], opened["code_version"]) == (policy().hash, "1.2.3")


def test_incident_message_says_what_how_large_since_when_and_what_next(policy, facts, ringing, block, verdict):
    others = [
        block(2, verdict("output", rang=True, direction="give me my password"), segment="channel=web", block_no=9)
    ]
    rows = run(Incidents(policy()), facts, {2: [ringing(2), *others], 3: []}, judge=lambda _e, n: ringing(n).columns)
    words = rows[0]["message"]
    for part in ("input_length", "0.6 baseline", "n = 200", "base-1", "2026-03-01 00:00:10 UTC", "uncalibrated"):
        assert part in words
    assert "channel=web" in words
    assert "once they are final" in words
    assert "retraining starts by itself" in rows[1]["message"]
    assert "password" not in "".join(row["message"] + row["title"] for row in rows)


def test_incident_message_never_holds_the_name_of_a_category_or_a_line_break(policy, facts, block, verdict):
    loud = verdict("output", rang=True, direction="ignore all previous\ninstructions")
    rows = run(Incidents(policy()), facts, {2: [block(2, loud, segment="channel=a\nb")]})
    text = rows[0]["title"] + rows[0]["message"]
    assert "ignore all" not in text
    assert "\n" not in text


def test_incident_of_a_rate_says_rate_events_baseline_bound_and_onset(policy, facts, block, rate):
    rang = block(2, rates=(rate(rang=True),))
    incidents = Incidents(policy())
    rows = run(
        incidents, facts, {2: [rang], 3: []}, judge=lambda e, _n: rang.rates if e.rates == ("error_rate",) else ()
    )
    assert [(row["rule"], row["state"], row["action"]) for row in rows] == [
        ("errors", "opened", "page"),
        ("errors", "confirmed", "page"),
    ]
    opened, confirmed = rows
    assert opened["title"] == "A raised rate in assistant 1: error_rate"
    for words in (opened["message"], confirmed["message"]):
        for part in ("is 0.1 over n = 600 events", "0.078 to 0.127", "2026-03-01 00:00:00", "has 0.005 of n = 3000",
                     "at most 0.011", "base-1", "calibrated"):  # fmt: skip
            assert part in words
    assert "a person has to look" in opened["message"]
    assert "Nothing is retrained by itself" in confirmed["message"]
    assert (opened["column"], opened["value"], opened["threshold"], opened["n"]) == ("error_rate", 40.0, 16.0, 600)
    # Its evidence is that of the rate and not that of the block's columns.
    assert (opened["first_batch_id"], opened["since"]) == (0, rate(rang=True).since)
    assert [(w["start"], w["window_s"]) for w in opened["windows"]] == list(rate(rang=True).windows)


def test_incident_of_a_rate_and_of_drift_are_two(policy, facts, block, verdict, rate):
    both = block(2, verdict("input_length", rang=True), rates=(rate(rang=True),))
    rows = run(Incidents(policy()), facts, {2: [both]})
    assert [(row["rule"], row["columns"]) for row in rows] == [("drift", ["input_length"]), ("errors", ["error_rate"])]
    # Neither hears the other: a rule about all columns is about none of the rates.
    rows = run(Incidents(policy()), facts, {2: [block(2, verdict("error_rate", rang=True))]})
    assert [row["rule"] for row in rows] == ["drift"]


def test_incident_of_a_rate_ends_after_blocks_without_a_rise_and_keeps_its_kind_without_its_rule(
    policy, facts, block, rate, as_row
):
    rang, calm = block(2, rates=(rate(rang=True),)), [block(n, rates=(rate(rang=False),)) for n in range(4, 9)]
    rows = run(Incidents(policy()), facts, {2: [rang], 3: []}, judge=lambda _e, _n: rang.rates)
    for rules in (policy().rules, policy().rules[-1:]):
        after = Incidents(policy(rules=rules))
        after.restore(rows, [as_row(rang, 2)])
        again = block(4, rates=(rate(rang=True),))
        ended = run(after, facts, {4: [again], **{b.block_no: [b] for b in calm[1:]}})
        assert [(row["batch_id"], row["state"], row["rule"]) for row in ended] == [(7, "resolved", "errors")]


def test_incident_does_not_open_below_the_minimum_effect(policy, facts, block, verdict):
    weak = block(2, verdict("input_length", rang=True, effect=0.0999))
    assert run(Incidents(policy()), facts, {2: [weak]}) == []


def test_incident_opens_at_the_minimum_effect(policy, facts, block, verdict):
    enough = block(2, verdict("input_length", rang=True, effect=0.1))
    assert states(run(Incidents(policy()), facts, {2: [enough]})) == [(2, "opened")]


def test_incident_opens_only_for_the_columns_of_its_rule(policy, facts, block, verdict):
    rule = Rule("words", RuleKind.DRIFT, ("input_words",), 0.1, 3, Action.PAGE, "drift.md")
    both = block(2, verdict("input_length", rang=True, statistic=900.0), verdict("input_words", rang=True))
    rows = run(Incidents(policy(rules=(rule,))), facts, {1: [block(1, verdict("input_length", rang=True))], 2: [both]})
    assert [(row["batch_id"], row["columns"], row["severity"]) for row in rows] == [(2, ["input_words"], 3)]


def test_incident_without_the_ring_on_final_windows_is_retracted_and_may_open_again(policy, facts, ringing, quiet):
    batches = {2: [ringing(2)], 3: [quiet(3)], 4: [quiet(4)], 5: [ringing(5)]}
    rows = run(Incidents(policy()), facts, batches, judge=lambda _e, n: quiet(n).columns if n == 4 else None)
    assert states(rows) == [(2, "opened"), (4, "retracted"), (5, "opened")]
    assert rows[0]["incident_id"] != rows[2]["incident_id"]


def test_incident_is_not_confirmed_by_another_column(policy, facts, ringing, verdict):
    rows = run(
        Incidents(policy()),
        facts,
        {2: [ringing(2)], 3: []},
        judge=lambda _e, _n: (verdict("confidence", rang=True), verdict("input_length", rang=False)),
    )
    assert states(rows) == [(2, "opened"), (3, "retracted")]


def test_incident_confirmed_names_only_the_columns_that_still_ring(policy, facts, block, verdict):
    loud = block(2, verdict("a", rang=True, statistic=500.0), verdict("b", rang=True), verdict("c", rang=False))
    rows = run(
        Incidents(policy()),
        facts,
        {2: [loud], 3: []},
        judge=lambda _e, _n: (verdict("a", rang=False), verdict("b", rang=True), verdict("c", rang=True)),
    )
    assert [row["columns"] for row in rows] == [["a", "b"], ["b"]]
    assert [row["column"] for row in rows] == ["a", "b"]


def test_incident_that_is_uncalibrated_pages_where_the_policy_forbids_retraining(policy, facts, ringing, quiet):
    incidents = Incidents(policy(uncalibrated_may_retrain=False))
    batches = {2: [ringing(2)], **{n: [quiet(n)] for n in range(3, 8)}}
    rows = run(incidents, facts, batches, judge=lambda _e, n: ringing(n).columns)
    assert [(row["state"], row["action"]) for row in rows] == [
        ("opened", "retrain"),
        ("confirmed", "page"),
        ("resolved", "none"),
    ]
    assert "a person has to decide" in rows[1]["message"]


def test_incident_that_is_calibrated_retrains_whatever_the_policy_says_of_uncalibrated_ones(
    policy, facts, block, verdict
):
    loud = verdict("input_length", rang=True, calibrated=True)
    rows = run(
        Incidents(policy(uncalibrated_may_retrain=False)),
        facts,
        {2: [block(2, loud)], 3: []},
        judge=lambda _e, _n: (loud,),
    )
    assert [(row["action"], row["calibrated"]) for row in rows] == [("retrain", True)] * 2


@pytest.mark.parametrize("state", [None, "started", "promoted", "proving", "failed", "rejected", "rolled_back"])
def test_incident_that_retrains_stays_open_until_its_retraining_is_proven(policy, facts, ringing, quiet, state):
    incidents = Incidents(policy())
    key = incident_key("assistant", "drift", 2)
    latest = {key: state} if state else {}
    batches = {2: [ringing(2)], **{n: [quiet(n)] for n in range(3, 30)}}
    rows = run(incidents, facts, batches, judge=lambda _e, n: ringing(n).columns, retrainings=lambda _n: latest)
    assert states(rows) == [(2, "opened"), (3, "confirmed")]
    assert states(incidents.advance([], {}, {key: PROVEN}, facts(30))) == [(30, "resolved")]


def test_incident_joins_rings_of_every_version_while_it_is_unresolved(policy, facts, ringing):
    batches = {n: [ringing(n), ringing(n, version="2"), ringing(n, segment="channel=web")] for n in range(2, 9)}
    rows = run(Incidents(policy()), facts, batches)
    assert states(rows) == [(2, "opened")]
    assert rows[0]["version"] == "2"


def test_incident_counts_quiet_blocks_of_the_newest_version_only(policy, facts, ringing, quiet):
    incidents = Incidents(policy(rules=(Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.PAGE, "drift.md"),)))
    batches: dict[int, list[Any]] = {2: [ringing(2)]}
    batches |= {n: [quiet(n, version="9")] for n in (3, 4)}
    # Version 10 is newer than 9, though it sorts before it as text; the old version rings on and no longer matters.
    batches |= {n: [quiet(n, version="10"), ringing(n, version="9")] for n in range(5, 8)}
    rows = run(incidents, facts, batches, judge=lambda _e, n: ringing(n).columns)
    assert states(rows) == [(2, "opened"), (3, "confirmed"), (7, "resolved")]
    assert rows[-1]["version"] == "10"


def test_incident_starts_counting_again_after_a_ring_in_any_segment(policy, facts, ringing, quiet):
    incidents = Incidents(policy(rules=(Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.PAGE, "drift.md"),)))
    batches: dict[int, list[Any]] = {2: [ringing(2)], 3: [quiet(3)], 4: [quiet(4)]}
    batches[5] = [quiet(5), ringing(5, segment="channel=web")]
    batches |= {n: [quiet(n), quiet(n, segment="channel=web")] for n in range(6, 12)}
    rows = run(incidents, facts, batches, judge=lambda _e, n: ringing(n).columns)
    assert states(rows) == [(2, "opened"), (3, "confirmed"), (8, "resolved")]


def test_conservation_opens_at_once_confirmed_and_ends_after_batches_that_add_up(policy, facts):
    rows = run(Incidents(policy()), facts, {n: [] for n in range(1, 9)}, lost={2, 3})
    assert [(row["batch_id"], row["state"], row["action"]) for row in rows] == [
        (2, "opened", "page"),
        (2, "confirmed", "page"),
        (6, "resolved", "none"),
    ]
    assert {(row["model"], row["rule"]) for row in rows} == {("*", "conservation")}


@given(st.lists(st.sampled_from(["1", "2", "9", "10", "11", "canary", "9" * 30, "", "²"]), unique=True))
def test_version_order_is_total_and_puts_numbers_last(versions):
    ordered = sorted(versions, key=version_order)
    numbers = [v for v in ordered if v.isascii() and v.isdigit() and len(v) <= 18]
    assert ordered[len(ordered) - len(numbers) :] == sorted(numbers, key=int)


# One micro-batch as small numbers: which blocks close, which of them ring, what is judged, what the retraining says.
_BLOCK = st.tuples(
    st.sampled_from(["assistant", "router"]),
    st.sampled_from(["1", "2", "10"]),
    st.sampled_from(["*", "channel=web"]),
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans(), st.sampled_from([0.05, 0.3, 0.9])), max_size=3),
    st.booleans(),
    st.sampled_from([None, (False, 0.0), (True, 0.1), (True, 0.9)]),
)
_BATCH = st.tuples(
    st.lists(_BLOCK, max_size=4),
    st.sampled_from(["not final", "still", "gone"]),
    st.sampled_from([None, "proving", "proven", "rolled_back"]),
    st.integers(0, 9).map(lambda n: n > 0),
)


@pytest.fixture
def makers(verdict, rate, block, facts, as_row, policy):
    return verdict, rate, block, facts, as_row, policy


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(history=st.lists(_BATCH, min_size=1, max_size=14), cut=st.integers(0, 14), allowed=st.booleans())
def test_incidents_restored_at_any_batch_give_the_same_rows(makers, history, cut, allowed):
    verdict, rate, block, facts, as_row, policy = makers
    rules = (
        Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.RETRAIN, "drift.md"),
        Rule("only-b", RuleKind.DRIFT, ("b",), 0.5, 3, Action.PAGE, "drift.md"),
        Rule("errors", RuleKind.RATE, "*", 0.2, 1, Action.PAGE, "errors.md"),
        Rule("conservation", RuleKind.CONSERVATION, "*", 0.0, 1, Action.PAGE, "conservation.md"),
    )
    chosen = policy(rules=rules, uncalibrated_may_retrain=allowed, resolve_after_blocks=2)
    whole, broken = Incidents(chosen), Incidents(chosen)
    alert_rows: list[dict[str, Any]] = []
    block_rows: list[dict[str, Any]] = []
    conserved: dict[int, bool] = {}
    for batch_id, (shapes, judgement, retraining, adds_up) in enumerate(history):
        if batch_id == cut:
            broken = Incidents(chosen)
            broken.restore(reversed(alert_rows), reversed(block_rows), conserved)
        blocks = [
            block(
                batch_id,
                *(
                    verdict(c, rang=rang, effect=e, calibrated=calibrated)
                    for c, rang, e in {c[0]: c for c in cs}.values()
                ),
                model=model,
                version=version,
                segment=segment,
                block_no=i,
                rates=(rate(rang=errors[0], effect=errors[1]),) if errors else (),
            )
            for i, (model, version, segment, cs, calibrated, errors) in enumerate(shapes)
        ]
        assert whole.unconfirmed() == broken.unconfirmed()
        judged = {
            e.incident_id: None
            if judgement == "not final"
            else (
                *(verdict(c, rang=judgement == "still") for c in e.columns),
                *(rate(rang=judgement == "still", column=name) for name in e.rates),
            )
            for e in whole.unconfirmed()
        }
        latest = {i.incident_id: retraining for i in whole.unresolved if retraining}
        now = facts(batch_id, conserved=adds_up)
        rows = whole.advance(blocks, judged, latest, now)
        assert rows == broken.advance(blocks, judged, latest, now)
        alert_rows += rows
        block_rows += [as_row(b, batch_id) for b in blocks]
        conserved[batch_id] = adds_up
    _check_histories(alert_rows)


def _check_histories(rows: Sequence[Mapping[str, Any]]) -> None:
    unresolved: dict[tuple[str, str], str] = {}
    allowed = {
        None: {"opened"},
        "opened": {"confirmed", "retracted"},
        "confirmed": {"resolved"},
    }
    last: dict[str, tuple[str, int]] = {}
    assert len({row["alert_id"] for row in rows}) == len(rows)
    for row in rows:
        key, incident = (row["model"], row["rule"]), row["incident_id"]
        state, sequence = last.get(incident, (None, 0))
        assert row["state"] in allowed[state]
        assert row["sequence"] == sequence + 1
        last[incident] = (row["state"], row["sequence"])
        assert unresolved.get(key, incident) == incident, "two unresolved incidents of one model and rule"
        if row["state"] in ("resolved", "retracted"):
            del unresolved[key]
        else:
            unresolved[key] = incident


def test_incident_whose_rule_was_taken_out_of_the_policy_still_ends(policy, facts, ringing, quiet, as_row):
    before = Incidents(policy(rules=(Rule("old", RuleKind.DRIFT, "*", 0.1, 3, Action.PAGE, "drift.md"),)))
    rows = run(before, facts, {2: [ringing(2)], 3: []}, judge=lambda _e, n: ringing(n).columns)
    after = Incidents(policy(rules=(replace(policy().rules[-1]),)))
    after.restore(rows, [as_row(ringing(2), 2)])
    rows = run(after, facts, {n: [quiet(n)] for n in range(4, 9)})
    assert [(row["batch_id"], row["state"], row["rule"], row["severity"]) for row in rows] == [
        (6, "resolved", "old", 3)
    ]
