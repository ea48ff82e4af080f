"""Mitigation: on COMPAS it halves the gap on rows that it has not seen, and what it costs is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pegel.conf.fairness_settings import FairnessSettings
from pegel.errors import SettingsError
from pegel.lifecycle.fairness.file_evaluation import Trial, Tried, by_first_attribute, evaluate_file, try_mitigation
from pegel.lifecycle.fairness.group_metrics import MetricByGroup
from pegel.lifecycle.fairness.groups import group_rows
from pegel.lifecycle.fairness.methods import AFTER, BEFORE, UNCONSTRAINED, Constraint, Method
from pegel.lifecycle.fairness.mitigation import Decisions, Mitigated, mitigate
from pegel.lifecycle.fairness.rows_file import Columns, DecidedRows, read_rows
from pegel.streaming.statistics.group_rates import Metric

COMPAS = Columns("two_year_recid", ("race", "sex"), score="decile_score", threshold=5, positive="1")


@pytest.fixture(scope="module")
def compas(shared_data: Path) -> DecidedRows:
    return read_rows(shared_data / "compas_two_years.csv", COMPAS)


def trial(method: Method) -> Trial:
    return Trial(method, Constraint.EQUALIZED_ODDS, 0.3, 0)


def metric_of(found: tuple[MetricByGroup, ...], metric: Metric) -> MetricByGroup:
    return next(one for one in found if one.metric is metric)


def gap(tried: Tried, name: str) -> float:
    """Between the two groups of which ProPublica wrote."""
    rate = metric_of(tried.models[name], Metric.FALSE_POSITIVE_RATE)
    values = {one.group[0]: one.value for one in rate.rates}
    return abs((values["African-American"] or 0) - (values["Caucasian"] or 0))


def test_file_of_scores_has_the_published_rates(compas: DecidedRows) -> None:
    assert (len(compas.labels), compas.left_out) == (7214, 0)
    found = evaluate_file(compas, ("1",), FairnessSettings())[BEFORE]
    rates = {one.group[0]: one.value for one in metric_of(found, Metric.FALSE_POSITIVE_RATE).rates}
    assert [round(100 * (rates[group] or 0), 2) for group in ("African-American", "Caucasian")] == [44.85, 23.45]
    rates = {one.group[0]: one.value for one in metric_of(found, Metric.FALSE_NEGATIVE_RATE).rates}
    assert [round(100 * (rates[group] or 0), 2) for group in ("African-American", "Caucasian")] == [27.99, 47.72]


@pytest.mark.parametrize("method", Method)
def test_mitigation_halves_the_gap_of_compas_on_held_out_rows_and_costs_some_accuracy(
    compas: DecidedRows, method: Method
) -> None:
    tried = try_mitigation(compas, "1", trial(method), FairnessSettings())
    assert tried.rows == 2165
    assert gap(tried, BEFORE) > 0.15
    assert gap(tried, AFTER) < gap(tried, BEFORE) / 2
    for metric in (Metric.FALSE_POSITIVE_RATE, Metric.FALSE_NEGATIVE_RATE):
        before, after = (metric_of(tried.models[name], metric).difference for name in (BEFORE, AFTER))
        assert before is not None
        assert after is not None
        assert after < before / 2
    accuracy = {name: metric_of(found, Metric.ACCURACY).overall.value or 0 for name, found in tried.models.items()}
    assert 0 < accuracy[BEFORE] - accuracy[AFTER] < 0.05
    assert f"costs {100 * (accuracy[BEFORE] - accuracy[AFTER]):.2f} points" in tried.price
    assert (UNCONSTRAINED in accuracy) == (method is Method.GRADIENT)
    assert {group[0] for group in tried.kept} == {"Asian", "Native American"}
    assert {one.attributes for one in by_first_attribute(tried.models)[AFTER]} == {("race",)}


def made(rows_per_group: int = 400) -> Decisions:
    """Two groups with the same labels; the score of one is too high by one half."""
    rng = np.random.default_rng(3)
    n = 2 * rows_per_group
    truth = np.arange(n) % 2 == 0
    second = np.arange(n) >= rows_per_group
    scores = truth * 1.0 + rng.normal(0, 0.6, n) + 0.5 * second
    groups = ["b" if one else "a" for one in second]
    return Decisions(truth, scores > 0.5, scores, group_rows({"g": groups}, 9)[0], {})


def done(decisions: Decisions, method: Method, **change: Any) -> Mitigated:
    arguments = {"held_out_share": 0.5, "seed": 0, "min_group_rows": 30} | change
    return mitigate(decisions, method, change.pop("constraint", Constraint.EQUALIZED_ODDS), **arguments)


@pytest.mark.parametrize("method", Method)
def test_mitigation_with_the_same_seed_decides_the_same(method: Method) -> None:
    one, other = (done(made(200), method) for _ in range(2))
    assert np.array_equal(one.held_out, other.held_out)
    assert all(np.array_equal(one.decided[name], other.decided[name]) for name in one.decided)


def test_another_seed_holds_out_other_rows() -> None:
    first, second = (done(made(), Method.THRESHOLD, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.held_out, second.held_out)


@pytest.mark.parametrize("constraint", Constraint)
@pytest.mark.parametrize("method", Method)
def test_every_constraint_brings_what_it_is_about_closer(method: Method, constraint: Constraint) -> None:
    decisions = made()
    found = mitigate(decisions, method, constraint, held_out_share=0.5, seed=0, min_group_rows=30)
    truth, codes = decisions.truth[found.held_out], decisions.grouping.codes[found.held_out]
    about = {
        Constraint.EQUALIZED_ODDS: ~truth,
        Constraint.FALSE_POSITIVE_RATE_PARITY: ~truth,
        Constraint.TRUE_POSITIVE_RATE_PARITY: truth,
        Constraint.DEMOGRAPHIC_PARITY: np.ones_like(truth),
    }[constraint]

    def apart(decided: Any) -> float:
        rates = [float(decided[about & (codes == code)].mean()) for code in (0, 1)]
        return abs(rates[0] - rates[1])

    assert apart(found.decided[BEFORE]) > 0.1
    assert apart(found.decided[AFTER]) < apart(found.decided[BEFORE]) / 2


@pytest.mark.parametrize("method", Method)
def test_group_too_small_to_fit_to_keeps_its_decisions(method: Method) -> None:
    base = made()
    groups: list[str | None] = ["b" if i >= 400 else "a" for i in range(800)]
    groups[:20] = [None] * 20
    decisions = Decisions(base.truth, base.decided, base.scores, group_rows({"g": groups}, 9)[0], {})
    found = done(decisions, method)
    assert found.kept == ((None,),)
    small = decisions.grouping.codes[found.held_out] == decisions.grouping.groups.index((None,))
    assert small.any()
    assert np.array_equal(found.decided[AFTER][small], found.decided[BEFORE][small])


def test_group_with_one_label_keeps_its_decisions_and_two_groups_are_needed() -> None:
    base = made()
    codes = base.grouping.codes
    one_sided = Decisions(base.truth & (codes == 0), base.decided, base.scores, base.grouping, {})
    with pytest.raises(SettingsError, match="needs two groups with 30 training rows and both labels, and 1 have them"):
        done(one_sided, Method.THRESHOLD)


def test_gradient_learns_from_numbers_and_texts_with_gaps() -> None:
    base = made()
    numbers = [None if i % 7 == 0 else float(i % 3) for i in range(800)]
    texts = [None if i % 5 == 0 else "even" if i % 2 == 0 else "odd" for i in range(800)]
    features = {"numbers": numbers, "texts": texts, "nothing": [None] * 800}
    found = done(Decisions(base.truth, base.decided, base.scores, base.grouping, features), Method.GRADIENT)
    # The text gives the label away wherever it is there.
    right = [float((found.decided[name] == base.truth[found.held_out]).mean()) for name in (BEFORE, UNCONSTRAINED)]
    assert right[0] < 0.85 < right[1]


def test_mitigation_needs_rows_on_both_sides(compas: DecidedRows) -> None:
    with pytest.raises(SettingsError, match="with and without the label 'yes'"):
        try_mitigation(compas, "yes", trial(Method.THRESHOLD), FairnessSettings())
