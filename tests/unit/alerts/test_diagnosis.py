"""Diagnose, then retrain: the first cause in decision 9's order, and only the last two retrain."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.alerts.conclusion import conclude
from pegel.alerts.diagnosis import diagnose
from pegel.alerts.diagnosis_message import finding_in_words
from pegel.alerts.explanation import Story, explain
from pegel.alerts.incidents import Incidents
from pegel.alerts.policy import load_policy
from pegel.errors import SettingsError
from pegel.schemas.diagnosis import Cause, Finding, FindingKind, Symptoms, finding_from_row
from pegel.schemas.policy import Action, DiagnosisPolicy, Rule, RuleKind
from pegel.schemas.tables import ALERTS

MISSING = Finding(FindingKind.MISSING, "age", 0.31, 900, 0.0, 3000)
SOURCES = Finding(FindingKind.LABEL_SOURCES, "", 0.9, 200, 0.0, 1000)
SHARE = Finding(FindingKind.SEGMENT_SHARE, "lang=de", 0.8, 900, 0.5, 3000)
WEAK = Finding(FindingKind.WEAK_ANSWERS, "sure", 0.2, 900, 0.05, 3000)
HARMLESS = 0.05
RETRAIN = Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.RETRAIN, "drift.md")


def accuracy(share: float, kind: FindingKind = FindingKind.ACCURACY) -> Finding:
    return Finding(kind, "", share, 400, 0.9, 3000, share - 0.03, min(1.0, share + 0.03))


def estimate(share: float) -> Finding:
    return accuracy(share, FindingKind.ESTIMATED_ACCURACY)


@pytest.mark.parametrize(
    ("symptoms", "cause"),
    [
        (None, Cause.UNKNOWN),
        (Symptoms(), Cause.UNKNOWN),
        # Each earlier cause hides all that come after it.
        (Symptoms((MISSING,), (SOURCES,), (SHARE,), (WEAK,), accuracy(0.5), estimate(0.5)), Cause.PIPELINE_FAULT),
        (Symptoms((), (SOURCES,), (SHARE,), (), accuracy(0.5), estimate(0.9)), Cause.LABEL_CHANGE),
        (Symptoms((), (SOURCES,), (SHARE,), (), accuracy(0.9), estimate(0.9)), Cause.MIX_SHIFT),
        (Symptoms(mix=(SHARE,), estimated=estimate(0.5)), Cause.MIX_SHIFT),
        (Symptoms(estimated=estimate(0.91)), Cause.HARMLESS_SHIFT),
        (Symptoms(realised=accuracy(0.91)), Cause.HARMLESS_SHIFT),
        # Labels know better than estimates, and than what lies outside.
        (Symptoms(outside=(WEAK,), realised=accuracy(0.91), estimated=estimate(0.5)), Cause.HARMLESS_SHIFT),
        (Symptoms(outside=(WEAK,), estimated=estimate(0.9)), Cause.HARMFUL_SHIFT),
        (Symptoms(estimated=estimate(0.8)), Cause.HARMFUL_SHIFT),
        (Symptoms(realised=accuracy(0.7), estimated=estimate(0.7)), Cause.HARMFUL_SHIFT),
        (Symptoms(realised=accuracy(0.7)), Cause.HARMFUL_SHIFT),
        (Symptoms(realised=accuracy(0.7), estimated=estimate(0.9)), Cause.CONCEPT_LOSS),
        (Symptoms(realised=accuracy(0.7), moved=False), Cause.CONCEPT_LOSS),
        (Symptoms(mix=(SHARE,), realised=accuracy(0.7), estimated=estimate(0.9)), Cause.CONCEPT_LOSS),
        # Neither shown nor excluded.
        (Symptoms(estimated=estimate(0.86)), Cause.UNKNOWN),
        (Symptoms(estimated=estimate(0.9), moved=False), Cause.UNKNOWN),
    ],
)
def test_the_first_cause_that_fits_is_told(symptoms: Symptoms | None, cause: Cause) -> None:
    assert diagnose(symptoms, HARMLESS).cause is cause


def test_few_events_outside_cannot_cost_more_than_what_is_harmless() -> None:
    few = Finding(FindingKind.WEAK_ANSWERS, "sure", 0.08, 900, 0.05, 3000)
    assert diagnose(Symptoms(outside=(few,), estimated=estimate(0.91)), HARMLESS).cause is Cause.HARMLESS_SHIFT
    assert diagnose(Symptoms(outside=(few,), estimated=estimate(0.91)), 0.02).cause is Cause.HARMFUL_SHIFT


_some = st.sampled_from
SYMPTOMS = st.none() | st.builds(
    Symptoms,
    _some([(), (MISSING,)]),
    _some([(), (SOURCES,)]),
    _some([(), (SHARE,)]),
    _some([(), (WEAK,)]),
    _some([None, accuracy(0.5), accuracy(0.87), accuracy(0.9)]),
    _some([None, estimate(0.5), estimate(0.87), estimate(0.9)]),
    st.booleans(),
)
_ALLOWED = {
    Cause.PIPELINE_FAULT: Action.PAGE,
    Cause.LABEL_CHANGE: Action.PAGE,
    Cause.MIX_SHIFT: Action.NONE,
    Cause.HARMLESS_SHIFT: Action.NONE,
    Cause.HARMFUL_SHIFT: Action.RETRAIN,
    Cause.CONCEPT_LOSS: Action.RETRAIN,
}


@given(SYMPTOMS, st.booleans(), st.sampled_from(Action), st.sampled_from([RuleKind.DRIFT, RuleKind.RATE]))
def test_only_the_last_two_causes_retrain_and_no_page_is_taken_back(
    symptoms: Symptoms | None, allowed: bool, action: Action, kind: RuleKind
) -> None:
    rule = Rule("r", kind, "*", 0.1, 2, action, "drift.md")
    found = conclude(rule, lambda: symptoms, DiagnosisPolicy("owner", undiagnosed_may_retrain=allowed))
    if kind is RuleKind.RATE:
        assert (found.action, found.columns["cause"]) == (action, None)
        return
    cause = Cause(found.columns["cause"])
    undiagnosed = Action.RETRAIN if allowed else Action.PAGE
    assert found.action is (_ALLOWED.get(cause, undiagnosed) if action is Action.RETRAIN else action)
    assert found.columns["owner"] == ("owner" if cause in (Cause.PIPELINE_FAULT, Cause.LABEL_CHANGE) else None)
    if symptoms is not None and symptoms.faults:
        assert cause is Cause.PIPELINE_FAULT
    # What is told is what was seen.
    told = [finding_from_row(row) for row in found.columns["findings"]]
    seen = () if symptoms is None else (*symptoms.faults, *symptoms.labels, *symptoms.mix, *symptoms.outside)
    assert set(told) <= {*seen, *((symptoms.realised, symptoms.estimated) if symptoms else ())}
    assert all(finding_in_words(one) in found.words for one in told[:4])


@pytest.fixture
def confirmed(policy: Any, facts: Any, block: Any, verdict: Any) -> Callable[..., list[dict[str, Any]]]:
    """The rows of an incident with these symptoms, and of what comes after it."""

    def rows_of(symptoms: Symptoms | None, **change: Any) -> list[dict[str, Any]]:
        incidents = Incidents(policy(rules=(RETRAIN,), **change))
        rows = incidents.advance([block(2, verdict("age", rang=True))], {}, {}, facts(2))
        (evidence,) = incidents.unconfirmed()
        rows += incidents.advance(
            [], {evidence.incident_id: (verdict("age", rang=True),)}, {}, facts(3), {evidence: symptoms}.get
        )
        for n in range(4, 12):
            rows += incidents.advance([block(n, verdict("age", rang=False))], {}, {}, facts(n))
        return rows

    return rows_of


def test_a_fault_of_the_data_calls_its_owner_and_ends_without_a_retraining(confirmed: Any) -> None:
    rows = confirmed(Symptoms((MISSING,), estimated=estimate(0.5)), diagnosis=DiagnosisPolicy("warehouse"))
    assert [(r["state"], r["action"], r["cause"], r["owner"]) for r in rows] == [
        ("opened", "retrain", None, None),
        ("confirmed", "page", "pipeline_fault", "warehouse"),
        ("resolved", "none", None, None),
    ]
    words = rows[1]["message"]
    for part in (
        "the data is faulty",
        "missing values of age: 31 % of 900, usually 0 %",
        "warehouse",
        "Nothing is ret",
    ):
        assert part in words
    pa.Table.from_pylist(rows, schema=ALERTS.arrow_schema).validate(full=True)
    assert [finding_from_row(row) for row in rows[1]["findings"]] == [MISSING]


def test_a_harmless_shift_is_recorded_and_retrains_nothing(confirmed: Any) -> None:
    rows = confirmed(Symptoms(estimated=estimate(0.91)))
    assert [(r["state"], r["action"], r["cause"]) for r in rows[1:]] == [
        ("confirmed", "none", "harmless_shift"),
        ("resolved", "none", None),
    ]
    assert "the answers are no worse (accuracy as estimated without labels: 91 % of 400" in rows[1]["message"]


def test_what_cannot_be_told_follows_the_policy(confirmed: Any) -> None:
    for symptoms in (None, Symptoms()):
        rows = confirmed(symptoms)
        assert [(r["state"], r["action"], r["cause"]) for r in rows] == [
            ("opened", "retrain", None), ("confirmed", "retrain", "unknown"),
        ]  # fmt: skip
        rows = confirmed(symptoms, diagnosis=DiagnosisPolicy(undiagnosed_may_retrain=False))
        assert [(r["action"], r["cause"]) for r in rows[1:]] == [("page", "unknown"), ("none", None)]


def test_a_cause_that_retrains_does_not_overrule_calibration(confirmed: Any) -> None:
    rows = confirmed(Symptoms(outside=(WEAK,)), uncalibrated_may_retrain=False)
    assert (rows[1]["action"], rows[1]["cause"]) == ("page", "harmful_shift")
    assert "while the bound is uncalibrated" in rows[1]["message"]


def test_explain_tells_the_cause_and_each_finding_and_bears_rows_without_them(confirmed: Any) -> None:
    rows = confirmed(Symptoms((MISSING,)))
    told = explain(Story(rows))
    assert "Diagnosis: pipeline_fault" in told
    assert "missing values of age: 31 % of 900, usually 0 % of 3000" in told
    old = [{name: row[name] for name in row if name not in ("cause", "owner", "findings")} for row in rows]
    assert "Diagnosis: pipeline_fault" not in explain(Story(old))


def test_shipped_policies_say_what_the_code_takes_where_a_policy_says_nothing(tmp_path: Any) -> None:
    for name in ("policy.yml", "demo-policy.yml"):
        assert load_policy(name).diagnosis == DiagnosisPolicy()
    text = (
        "{alerts_per_month: 1, uncalibrated_may_retrain: false, resolve_after_blocks: 3, %s rules: [{name: drift, "
        "kind: drift, severity: 2, action: retrain, runbook: drift.md}]}"
    )
    file = tmp_path / "policy.yml"
    file.write_text(text % "")
    assert load_policy(str(file)).diagnosis == DiagnosisPolicy()
    file.write_text(text % "diagnosis: {data_owner: bi, undiagnosed_may_retrain: false, harmless_loss: 0.01},")
    assert load_policy(str(file)).diagnosis == DiagnosisPolicy("bi", undiagnosed_may_retrain=False, harmless_loss=0.01)
    file.write_text(text % "diagnosis: {harmless_loss: 5},")
    with pytest.raises(SettingsError, match="harmless_loss"):
        load_policy(str(file))
