"""Fairness from counts: Fairlearn's numbers, on random events and on COMPAS, however the events are split."""

import csv
from collections import defaultdict
from pathlib import Path

import fairlearn.metrics
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from pegel.streaming.statistics.classification_quality import confusion_of
from pegel.streaming.statistics.group_rates import GroupCounts, Metric, counts_of, gap_of, group_rates

Row = tuple[str, str, str]
"""Label, output, group."""

ROWS = st.lists(
    st.tuples(st.sampled_from("01"), st.sampled_from("01"), st.sampled_from("xyz")), min_size=1, max_size=60
)


def counted(rows: list[Row]) -> dict[str, GroupCounts]:
    by_group = defaultdict(list)
    for label, output, group in rows:
        by_group[group].append((label, output))
    return {group: counts_of(confusion_of(*zip(*pairs, strict=True)), "1") for group, pairs in sorted(by_group.items())}


def fairlearns(metric: Metric, rows: list[Row]) -> MetricFrame:
    function = accuracy_score if metric is Metric.ACCURACY else getattr(fairlearn.metrics, metric)
    labels, outputs, groups = ([int(v) if v.isdigit() else v for v in column] for column in zip(*rows, strict=True))
    return MetricFrame(metrics=function, y_true=labels, y_pred=outputs, sensitive_features=groups)


@settings(max_examples=6)
@given(ROWS)
def test_rates_and_gaps_are_those_of_fairlearn(rows: list[Row]) -> None:
    # Each group has all four kinds of events: Fairlearn calls a rate without events 0.
    rows = [*rows, *((label, output, group) for label in "01" for output in "01" for group in "xyz")]
    for metric in Metric:
        frame = fairlearns(metric, rows)
        found = group_rates(counted(rows), metric)
        assert {name: one.value for name, one in found.rates.items()} == pytest.approx(dict(frame.by_group))
        assert found.gap.difference == pytest.approx(frame.difference())
        assert found.gap.ratio == pytest.approx(frame.ratio())
        assert found.gap.difference_interval.lower <= found.gap.difference <= found.gap.difference_interval.upper
        if found.gap.ratio_interval is not None:
            assert found.gap.ratio_interval.lower <= found.gap.ratio <= found.gap.ratio_interval.upper


@settings(max_examples=30)
@given(ROWS, st.integers(0, 60))
def test_counts_add_up_however_events_are_split(rows: list[Row], cut: int) -> None:
    parts = counted(rows[:cut]), counted(rows[cut:])
    nothing = GroupCounts(0, 0, 0, 0)
    names = sorted({*parts[0], *parts[1]})
    assert {name: parts[0].get(name, nothing) + parts[1].get(name, nothing) for name in names} == counted(rows)


def test_group_is_judged_by_the_events_behind_its_own_rate() -> None:
    # A hundred events, of which one is negative.
    groups = {"x": GroupCounts(100, 99, 100, 99), "y": GroupCounts(100, 50, 50, 50), "z": GroupCounts(0, 0, 0, 0)}
    found = group_rates(groups, Metric.FALSE_POSITIVE_RATE, min_events=10)
    assert (found.rates["x"].value, found.rates["x"].n) == (1.0, 1)
    assert (found.judged, found.gap) == (("y",), None)
    assert group_rates(groups, Metric.SELECTION_RATE, min_events=10).judged == ("x", "y")
    assert found.rates["z"].value is None


def test_groups_without_any_hits_have_no_ratio() -> None:
    found = gap_of([(0, 5), (0, 7)])
    assert (found.difference, found.ratio, found.ratio_interval) == (0.0, None, None)


@pytest.mark.parametrize("attributes", [("race",), ("sex",), ("race", "sex")])
def test_rates_and_gaps_on_compas_are_those_of_fairlearn(shared_data: Path, attributes: tuple[str, ...]) -> None:
    with (shared_data / "compas_two_years.csv").open(newline="") as file:
        rows = [
            (
                row["two_year_recid"],
                str(int(int(row["decile_score"]) >= 5)),
                " × ".join(row[attribute] for attribute in attributes),
            )
            for row in csv.DictReader(file)
        ]
    groups = counted(rows)
    gaps = {}
    for metric in Metric:
        frame = fairlearns(metric, rows)
        found = group_rates(groups, metric)
        # Where nothing is behind a rate Fairlearn says 0, and here it is not defined.
        expected = {name: value for name, value in frame.by_group.items() if found.rates[name].n}
        assert {name: one.value for name, one in found.rates.items() if one.n} == pytest.approx(expected, abs=1e-15)
        if len(expected) == len(groups):
            assert found.gap.difference == pytest.approx(frame.difference(), abs=1e-15)
            assert found.gap.ratio == pytest.approx(frame.ratio(), abs=1e-15)
        gaps[metric] = found.gap
    labels, outputs, sensitive = zip(*rows, strict=True)
    arguments = {"y_true": [*map(int, labels)], "y_pred": [*map(int, outputs)], "sensitive_features": sensitive}
    assert gaps[Metric.SELECTION_RATE].difference == pytest.approx(demographic_parity_difference(**arguments))
    assert gaps[Metric.SELECTION_RATE].ratio == pytest.approx(demographic_parity_ratio(**arguments))
    if all(group.positives and group.positives < group.events for group in groups.values()):
        both = gaps[Metric.TRUE_POSITIVE_RATE], gaps[Metric.FALSE_POSITIVE_RATE]
        assert max(gap.difference for gap in both) == pytest.approx(equalized_odds_difference(**arguments))
    if attributes == ("race",):
        white, black = groups["Caucasian"], groups["African-American"]
        published = group_rates({"w": white, "b": black}, Metric.FALSE_POSITIVE_RATE)
        assert [round(100 * published.rates[name].value, 2) for name in "wb"] == [23.45, 44.85]
