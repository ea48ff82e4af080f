"""The gate: what is worse for a group than allowed is refused, and what chance may have made is not."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from pegel.conf.fairness_settings import FairnessSettings
from pegel.lifecycle.fairness.gate import Verdict, judge
from pegel.lifecycle.fairness.groups import group_rows
from pegel.streaming.statistics.group_rates import Metric
from pegel.streaming.statistics.two_rates import difference_interval, p_value_of_worse

Answers = list[tuple[str, bool, bool]]
"""Group, whether the challenger is right, whether the champion is."""


def group(name: str | None, n: int, challenger: int, champion: int) -> list[tuple[str | None, bool, bool]]:
    """n rows of which the first are right; a model that is right in more is right in the same rows too."""
    return [(name, i < challenger, i < champion) for i in range(n)]


def judged(rows: list[tuple[str | None, bool, bool]], **change: Any) -> Verdict:
    names, challenger, champion = (list(column) for column in zip(*rows, strict=True))
    outputs = [["1" if right else "0" for right in column] for column in (challenger, champion)]
    given_settings = FairnessSettings.model_validate({"attributes": ["channel"]} | change)
    return judge(["1"] * len(rows), *outputs, group_rows({"channel": names}, 50), given_settings)


def test_challenger_that_is_worse_for_a_group_is_refused_with_one_reason() -> None:
    verdict = judged([*group("web", 500, 490, 400), *group("app", 200, 130, 160)])
    assert verdict.refused
    assert verdict.comparisons == 3
    assert "accuracy by channel is 98.0% of 500 for 'web' and 65.0% of 200 for 'app'" in verdict.detail
    assert "more than 10.0 points apart" in verdict.detail


def test_group_that_fares_worse_than_with_the_champion_refuses_where_groups_do_not_differ() -> None:
    rows = [*group("web", 300, 270, 270), *group("app", 300, 270, 300)]
    verdict = judged(rows)
    assert verdict.refused
    assert "for 'app' by channel is 90.0% of 300 where the champion's is 100.0% of 300" in verdict.detail
    assert not judged(rows, max_increase_over_champion=0.1).refused
    assert not judged(rows, max_increase_over_champion=None).refused


def test_difference_that_the_champion_has_too_does_not_refuse() -> None:
    same = [*group("web", 500, 490, 490), *group("app", 200, 130, 130)]
    narrower = [*group("web", 500, 490, 490), *group("app", 200, 150, 130)]
    wider = [*group("web", 500, 490, 450), *group("app", 200, 130, 130)]
    assert not judged(same).refused
    assert not judged(narrower).refused
    assert judged(wider).refused


def test_gap_that_is_wider_than_the_champions_by_chance_alone_does_not_refuse() -> None:
    # The gap is 33 points with both; of the few rows that only one model gets right one more is the champion's.
    swapped = [("app", i < 2, 2 <= i < 5) for i in range(5)]
    rows = [*group("web", 500, 490, 490), *group("app", 195, 128, 128), *swapped]
    assert not judged(rows, max_increase_over_champion=None).refused
    many = [("app", i < 20, 20 <= i < 60) for i in range(60)]
    rows = [*group("web", 500, 490, 490), *group("app", 195, 128, 128), *many]
    assert judged(rows, max_increase_over_champion=None, max_difference=0.3).refused


def test_gap_that_chance_may_have_made_does_not_refuse() -> None:
    few = [*group("web", 40, 40, 40), *group("app", 30, 26, 30)]
    many = [*group("web", 400, 400, 400), *group("app", 300, 260, 300)]
    assert not judged(few).refused
    assert judged(many).refused


def test_group_below_the_minimum_is_not_judged_and_the_verdict_says_so() -> None:
    verdict = judged([*group("web", 29, 29, 29), *group("app", 29, 0, 29)])
    assert (verdict.refused, verdict.comparisons) == (False, 0)
    assert "could not be judged" in verdict.detail
    assert judged([*group("web", 29, 29, 29), *group("app", 29, 0, 29)], min_group_rows=29).refused


def test_rows_without_the_attribute_are_judged_as_a_group() -> None:
    verdict = judged([*group("web", 300, 300, 300), *group(None, 300, 150, 300)])
    assert verdict.refused
    assert "'(missing)'" in verdict.detail


def test_without_attributes_nothing_is_refused() -> None:
    verdict = judge(["1"], ["0"], ["1"], (), FairnessSettings())
    assert verdict == Verdict(False, "", 0)


@pytest.mark.parametrize("metric", ["true_positive_rate", "false_negative_rate"])
def test_error_rates_are_judged_for_each_positive_label_against_the_rest(metric: str) -> None:
    labels = (["spam"] * 100 + ["ham"] * 100) * 2
    channels = ["web"] * 200 + ["app"] * 200
    good, bad = list(labels), list(labels)
    bad[200:240] = ["eggs"] * 40
    rule = {"attributes": ["channel"], "positive_labels": ["spam"], "metrics": [metric]}
    groupings = group_rows({"channel": channels}, 50)
    verdict = judge(labels, bad, good, groupings, FairnessSettings.model_validate(rule))
    assert verdict.refused
    assert f"{metric.replace('_', ' ')} for the label 'spam' by channel" in verdict.detail
    # Of another label than the positive one only the false positives count, and eggs are none.
    other = FairnessSettings.model_validate(rule | {"positive_labels": ["ham"]})
    assert not judge(labels, bad, good, groupings, other).refused


def test_selection_rate_is_judged_by_its_gap_alone() -> None:
    labels = ["1", "0"] * 200
    channels = ["web"] * 200 + ["app"] * 200
    champion = ["1"] * 400
    challenger = ["1"] * 200 + ["0"] * 200
    rule: dict[str, Any] = {"attributes": ["channel"], "positive_labels": ["1"], "metrics": ["selection_rate"]}
    groupings = group_rows({"channel": channels}, 50)
    assert judge(labels, challenger, champion, groupings, FairnessSettings.model_validate(rule)).refused
    without_gap = FairnessSettings.model_validate(rule | {"max_difference": None})
    verdict = judge(labels, challenger, champion, groupings, without_gap)
    assert (verdict.refused, verdict.comparisons) == (False, 0)


def test_settings_know_every_metric() -> None:
    known = FairnessSettings(metrics=tuple(Metric), positive_labels=("1",))  # type: ignore[arg-type]
    assert known.metrics == tuple(Metric)
    with pytest.raises(ValidationError):
        FairnessSettings.model_validate({"metrics": ["kindness"]})


def test_rates_without_a_positive_label_are_no_setting() -> None:
    with pytest.raises(ValidationError, match="say what is positive"):
        FairnessSettings(attributes=("channel",), metrics=("false_positive_rate",))


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(["x", "y", None]), st.booleans(), st.booleans()), min_size=1), st.randoms())
def test_order_of_rows_changes_no_verdict(rows: list[tuple[str | None, bool, bool]], rng: Random) -> None:
    rows = [*rows * 9, *group("z", 9, 9, 9)]
    shuffled = list(rows)
    rng.shuffle(shuffled)
    rule = {"min_group_rows": 2, "max_difference": 0, "max_increase_over_champion": 0}
    assert judged(shuffled, **rule) == judged(rows, **rule)


@pytest.mark.parametrize("chances", [(0.8, 0.8, 0.8), (0.95, 0.8, 0.6)], ids=["no-gap", "a-gap-of-both"])
def test_equally_good_models_are_refused_about_as_seldom_as_the_level_says(chances: tuple[float, ...]) -> None:
    rng = Random(7)
    refused = 0
    for _ in range(40):
        rows = [
            (name, rng.random() < chance, rng.random() < chance)
            for name, chance in zip("abc", chances, strict=True)
            for _ in range(60)
        ]
        refused += judged(rows, max_difference=0, max_increase_over_champion=0).refused  # type: ignore[arg-type]
    # 40 tries at 5 % are 7 or fewer in 99.9 % of all cases.
    assert refused <= binom.ppf(0.999, 40, 0.05)


@settings(max_examples=50)
@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_interval_of_a_difference_holds_it_and_turns_with_it(a: int, n: int, b: int, m: int) -> None:
    a, b = min(a, n), min(b, m)
    found, turned = difference_interval(a, n, b, m), difference_interval(b, m, a, n)
    assert found is not None
    assert turned is not None
    assert -1 - 1e-12 <= found.lower <= a / n - b / m + 1e-12
    assert found.upper == pytest.approx(-turned.lower)


@given(st.integers(0, 40), st.integers(0, 40))
def test_p_value_of_worse_is_the_tail_of_fair_coins(worse: int, better: int) -> None:
    expected = binom.sf(worse - 1, worse + better, 0.5)
    assert p_value_of_worse(worse, better) == pytest.approx(expected if worse + better else 1.0)
