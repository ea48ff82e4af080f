"""Group metrics: a plain recount, Fairlearn's own differences, and what ProPublica published of COMPAS."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.lifecycle.fairness.group_metrics import MetricByGroup, measure
from pegel.lifecycle.fairness.groups import MAX_FOUND_ATTRIBUTES, found_attributes, group_rows
from pegel.schemas.grids import MAX_NAME_CHARACTERS, OTHER_NAME
from pegel.streaming.statistics.group_rates import Metric

CLASSES = ("a", "b", "c")
Row = tuple[str, str, str | None, str | None]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(CLASSES),
        st.sampled_from((*CLASSES, "")),
        st.sampled_from(("x", "y", "", None)),
        st.sampled_from(("p", "q", None)),
    ),
    min_size=1,
    max_size=40,
)


def measured(rows: list[Row], *, min_group_rows: int = 1, max_groups: int = 50) -> tuple[MetricByGroup, ...]:
    labels, outputs, one, two = (list(column) for column in zip(*rows, strict=True))
    groupings = group_rows({"one": one, "two": two}, max_groups)
    return measure(labels, outputs, groupings, positive_labels=("a", "b"), min_group_rows=min_group_rows)


def recount(metric: Metric, label: str, rows: list[Row]) -> tuple[int, int]:
    """Hits and n, counted one row at a time."""
    if metric is Metric.ACCURACY:
        return sum(row[0] == row[1] for row in rows), len(rows)
    if metric is Metric.SELECTION_RATE:
        return sum(row[1] == label for row in rows), len(rows)
    positive = metric is not Metric.FALSE_POSITIVE_RATE
    about = [row for row in rows if (row[0] == label) == positive]
    selected = metric is not Metric.FALSE_NEGATIVE_RATE
    return sum((row[1] == label) == selected for row in about), len(about)


@settings(max_examples=15)
@given(ROWS)
def test_group_metrics_equal_a_plain_recount(rows: list[Row]) -> None:
    position = {"one": 2, "two": 3}
    found = measured(rows)
    assert len(found) == 3 * (1 + 2 * 4)
    for one in found:
        assert sum(rate.rows for rate in one.rates) == len(rows)
        for rate in one.rates:
            where = [position[name] for name in one.attributes]
            own = [row for row in rows if tuple(row[i] for i in where) == rate.group]
            hits, n = recount(one.metric, one.label, own)
            assert (rate.rows, rate.hits, rate.n) == (len(own), hits, n)
            assert rate.value == (hits / n if n else None)
            assert (rate.interval is None) == (n == 0)
            if rate.interval is not None:
                assert rate.interval.lower <= hits / n <= rate.interval.upper
        assert (one.overall.hits, one.overall.n) == recount(one.metric, one.label, rows)


@settings(max_examples=15)
@given(ROWS, st.randoms())
def test_order_of_rows_changes_no_group_metric(rows: list[Row], rng: Any) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert measured(shuffled, max_groups=2) == measured(rows, max_groups=2)


@settings(max_examples=15)
@given(ROWS)
def test_groups_with_the_same_rows_do_not_differ(rows: list[Row]) -> None:
    twice = [(label, said, group, None) for label, said, *_ in rows for group in ("x", "y")]
    for one in measured(twice):
        if one.difference is not None:
            assert one.difference == 0
            assert one.ratio in (1.0, None)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("xyz")), min_size=1, max_size=60))
def test_differences_and_ratios_are_those_of_fairlearn(rows: list[tuple[bool, bool, str]]) -> None:
    # Each group has a negative and one that is wrongly selected: Fairlearn calls a rate without rows 0.
    rows = [*rows, *((False, wrong, group) for group in "xyz" for wrong in (True, False))]
    truth, said, groups = (list(column) for column in zip(*rows, strict=True))
    frame = MetricFrame(metrics=false_positive_rate, y_true=truth, y_pred=said, sensitive_features=groups)
    labels = [[str(int(value)) for value in column] for column in (truth, said)]
    found = measure(*labels, group_rows({"g": groups}, 9), positive_labels=["1"], min_group_rows=1)
    (rate,) = [one for one in found if one.metric is Metric.FALSE_POSITIVE_RATE]
    assert rate.difference == pytest.approx(frame.difference())
    assert rate.ratio == pytest.approx(frame.ratio())
    assert rate.difference_interval is not None
    assert rate.difference_interval.lower <= rate.difference <= rate.difference_interval.upper


def test_small_group_is_reported_and_not_judged() -> None:
    rows: list[Row] = [("a", "a", "x", None)] * 10 + [("a", "a", "y", None)] * 9 + [("a", "b", "y", None)]
    accuracy = measured([*rows, ("a", "b", "tiny", None)], min_group_rows=10)[0]
    assert [(rate.group, rate.rows, rate.judged) for rate in accuracy.rates] == [
        (("tiny",), 1, False), (("x",), 10, True), (("y",), 10, True),
    ]  # fmt: skip
    assert accuracy.difference == pytest.approx(0.1)
    assert accuracy.ratio == pytest.approx(0.9)


def test_group_is_small_by_the_rows_behind_its_own_rate() -> None:
    # 100 rows, but only one of them is negative.
    rows: list[Row] = [("a", "a", "x", None)] * 99 + [("b", "a", "x", None)] + [("b", "b", "y", None)] * 100
    (rate,) = [
        one for one in measured(rows, min_group_rows=10)
        if (one.metric, one.label, one.attributes) == (Metric.FALSE_POSITIVE_RATE, "a", ("one",))
    ]  # fmt: skip
    assert [(one.value, one.n, one.judged) for one in rate.rates] == [(1.0, 1, False), (0.0, 100, True)]
    assert rate.difference is None


def test_missing_and_empty_values_are_groups_of_their_own() -> None:
    (grouping,) = group_rows({"one": ["x", None, "", None]}, 50)
    assert grouping.groups == (("",), ("x",), (None,))
    assert grouping.codes.tolist() == [1, 2, 0, 2]


def test_groups_beyond_the_cap_and_texts_too_long_for_a_name_are_counted_together() -> None:
    values = ["big"] * 5 + ["medium"] * 3 + ["b", "a", "x" * (MAX_NAME_CHARACTERS + 1)]
    (grouping,) = group_rows({"one": values}, 2)
    assert grouping.groups == ((OTHER_NAME,), ("big",), ("medium",))
    assert np.bincount(grouping.codes).tolist() == [3, 5, 3]


def test_attributes_that_are_found_are_few_and_the_most_frequent() -> None:
    flood = [{"channel": "web", "plan": "free", f"made-up-{n}": "1"} for n in range(50)]
    found = found_attributes(flood)
    assert len(found) == MAX_FOUND_ATTRIBUTES
    assert {"channel", "plan"} < set(found)


def test_no_rows_have_no_metrics() -> None:
    assert measure([], [], group_rows({"one": []}, 5), positive_labels=["a"], min_group_rows=1) == ()


def test_compas_has_the_published_error_rates(shared_data: Path) -> None:
    with (shared_data / "compas_two_years.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7214
    labels = [row["two_year_recid"] for row in rows]
    outputs = [str(int(int(row["decile_score"]) >= 5)) for row in rows]
    groupings = group_rows({name: [row[name] for row in rows] for name in ("race", "sex")}, 50)
    found = measure(labels, outputs, groupings, positive_labels=["1"], min_group_rows=30)
    by_race = {one.metric: {rate.group[0]: rate for rate in one.rates} for one in found if one.attributes == ("race",)}
    published = {
        Metric.FALSE_POSITIVE_RATE: {"African-American": 44.85, "Caucasian": 23.45},
        Metric.FALSE_NEGATIVE_RATE: {"African-American": 27.99, "Caucasian": 47.72},
    }
    for metric, groups in published.items():
        for group, percent in groups.items():
            value = by_race[metric][group].value
            assert value is not None
            assert round(100 * value, 2) == percent
    assert not by_race[Metric.FALSE_POSITIVE_RATE]["Native American"].judged
    crossed = [one for one in found if one.attributes == ("race", "sex")]
    assert sum(rate.rows for rate in crossed[0].rates) == 7214
    assert len(crossed[0].rates) == 12
