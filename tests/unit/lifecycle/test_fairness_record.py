"""The record of an evaluation: keys that MLflow takes whatever groups are called, JSON, and a picture of any group."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from pegel.lifecycle.fairness.group_metrics import MetricByGroup, measure
from pegel.lifecycle.fairness.groups import group_rows
from pegel.lifecycle.fairness.plot import MAX_GROUPS, MAX_PANELS, draw, save
from pegel.lifecycle.fairness.record import as_json, numbers
from pegel.lifecycle.metric_keys import fairness_key

NAMES = st.text(max_size=6)
VALUES = st.one_of(st.none(), NAMES)


def found_in(groups: list[str | None], **columns: list[str | None]) -> tuple[MetricByGroup, ...]:
    labels = ["1", "0"] * len(groups)
    groupings = group_rows({"g": groups * 2, **{name: values * 2 for name, values in columns.items()}}, 99)
    return measure(labels, list(reversed(labels)), groupings, positive_labels=["1"], min_group_rows=1)


@given(st.lists(NAMES, min_size=1, max_size=2), st.data())
def test_fairness_key_is_taken_by_mlflow_whatever_names_are(attributes: list[str], data: Any) -> None:
    group = data.draw(st.lists(VALUES, min_size=len(attributes), max_size=len(attributes)))
    for key in (
        fairness_key("accuracy", attributes, group=group),
        fairness_key("true_positive_rate", attributes, group=group, label=data.draw(NAMES)),
        fairness_key("accuracy_difference", attributes),
    ):
        _validate_metric_name(key)


@given(st.lists(VALUES, min_size=2, max_size=2), st.lists(VALUES, min_size=2, max_size=2))
def test_different_groups_have_different_keys(one: list[str | None], other: list[str | None]) -> None:
    keys = [fairness_key("accuracy", ["a", "b"], group=group) for group in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@settings(max_examples=10)
@given(st.lists(VALUES, min_size=1, max_size=12))
def test_numbers_have_one_key_each_and_are_rates(groups: list[str | None]) -> None:
    keys = dict(numbers(found_in(groups)))
    assert len(keys) == len(list(numbers(found_in(groups))))
    assert all(0 <= value <= 1 for key, value in keys.items() if not key.startswith("fairness/n/"))
    rows = sum(value for key, value in keys.items() if key.startswith("fairness/n/g/"))
    assert rows == 2 * len(groups)


def test_json_says_null_for_what_is_missing_or_not_defined() -> None:
    labels = ["1", "1", "1"]
    groupings = group_rows({"g": ["x", None, "x"]}, 9)
    found = measure(labels, labels, groupings, positive_labels=["1"], min_group_rows=1)
    recorded = json.loads(json.dumps(as_json({"only": found}, {"rows": 3}), allow_nan=False))
    by_metric = {one["metric"]: one for one in recorded["models"]["only"]}
    assert [group["group"] for group in by_metric["accuracy"]["groups"]] == [["x"], [None]]
    assert by_metric["accuracy"]["label"] is None
    nothing = by_metric["false_positive_rate"]
    assert (nothing["difference"], nothing["ratio"]) == (None, None)
    assert {(group["n"], group["value"], group["interval"]) for group in nothing["groups"]} == {(0, None, None)}


@pytest.mark.filterwarnings("error")
def test_picture_is_drawn_whatever_groups_are_called(tmp_path: Any) -> None:
    odd: list[str | None] = [r"$\frac{1", "a\nb\x00", "_hidden", "日本", None, "", "x" * 100, "%s {0}"]
    found = found_in(odd)
    file = tmp_path / "fairness.png"
    save(draw({"before": found, "after": found}, "$1 for version {0}"), str(file))
    assert file.read_bytes().startswith(b"\x89PNG")


def test_picture_has_a_panel_a_metric_and_says_what_it_leaves_out() -> None:
    many: list[str | None] = [f"group {n:02d}" for n in range(MAX_GROUPS + 3)]
    few = draw({"only": found_in(many)}, "title")
    assert len(few.axes) == 5
    assert f"{MAX_GROUPS} of {MAX_GROUPS + 3} groups" in few.axes[0].get_title()
    columns: dict[str, list[str | None]] = {"h": ["p", "q", "p"], "i": ["r", "s", "s"]}
    crowded = draw({"only": found_in(["x", "y", "y"], **columns)}, "title")
    assert len(crowded.axes) == MAX_PANELS
    assert crowded.get_suptitle() == "title (12 of 30 metrics)"
