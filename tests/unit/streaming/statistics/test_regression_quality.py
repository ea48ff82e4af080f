"""Measures from sums of whole numbers: scikit-learn's on rounded values, additive, and as sure as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    r2_score,
    root_mean_squared_error,
)

from pegel.errors import ContractError
from pegel.streaming.statistics.regression_quality import LIMIT, SUM_SCALE, Scales, Sums, regression_quality, sums_of

SCALES = Scales(label_center=10.0, label_scale=4.0, error_scale=0.5)


def events(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    # Labels and errors that rounding leaves as they are, so that equality is exact.
    rng = np.random.default_rng(seed)
    labels = 10 + rng.integers(-2000, 2000, n) * 4.0 / SUM_SCALE
    return labels, labels + rng.integers(-3000, 3000, n) * 0.5 / SUM_SCALE


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), cut=st.integers(0, 60))
def test_measures_are_those_of_scikit_learn_however_events_are_split(seed: int, n: int, cut: int) -> None:
    labels, outputs = events(seed, n)
    labels[1] = labels[0] + 4.0
    sums = sums_of(labels[:cut], outputs[:cut], SCALES) + sums_of(labels[cut:], outputs[cut:], SCALES)
    assert sums == sums_of(labels[::-1], outputs[::-1], SCALES)
    found = regression_quality(sums, SCALES)
    assert found.mae.value == pytest.approx(mean_absolute_error(labels, outputs), rel=1e-12)
    assert found.rmse.value == pytest.approx(root_mean_squared_error(labels, outputs), rel=1e-12)
    assert found.r2.value == pytest.approx(r2_score(labels, outputs), rel=1e-9, abs=1e-9)
    assert found.mape.value == pytest.approx(mean_absolute_percentage_error(labels, outputs), abs=1e-5)
    for one in (found.mae, found.rmse, found.r2, found.mape):
        assert one.interval.lower <= one.value <= one.interval.upper


def test_label_that_is_corrected_leaves_no_trace() -> None:
    labels, outputs = events(1, 30)
    wrong = sums_of([99.0], outputs[:1], SCALES)
    assert sums_of(labels[1:], outputs[1:], SCALES) + wrong - wrong == sums_of(labels[1:], outputs[1:], SCALES)


def test_any_numbers_are_measured_within_the_rounding_that_is_stated() -> None:
    rng = np.random.default_rng(2)
    labels = rng.normal(10, 3, 500)
    outputs = labels + rng.normal(0.1, 0.5, 500)
    found = regression_quality(sums_of(labels, outputs, SCALES), SCALES)
    assert found.mae.value == pytest.approx(mean_absolute_error(labels, outputs), abs=0.5 / 2048)
    assert found.r2.value == pytest.approx(r2_score(labels, outputs), abs=1e-4)


def test_large_offset_of_the_labels_costs_r_squared_no_digits() -> None:
    rng = np.random.default_rng(3)
    labels = 10 + LIMIT * 4.0 / SUM_SCALE - rng.integers(1, 20, 400) * 4.0 / SUM_SCALE
    outputs = labels + rng.integers(-9, 9, 400) * 0.5 / SUM_SCALE
    found = regression_quality(sums_of(labels, outputs, SCALES), SCALES)
    assert found.r2.value == pytest.approx(r2_score(labels, outputs), abs=1e-9)
    assert found.r2.interval.upper - found.r2.interval.lower < 0.01


def test_outlier_beyond_the_limit_is_counted_and_the_error_is_at_least_what_is_said() -> None:
    labels, outputs = events(4, 50)
    outputs[3] = 1e300
    found = regression_quality(sums_of(labels, outputs, SCALES), SCALES)
    assert found.saturated == 1
    assert 0.5 * LIMIT / SUM_SCALE / 50 <= found.mae.value < mean_absolute_error(labels, outputs)


def test_label_of_zero_has_no_relative_error() -> None:
    found = regression_quality(sums_of([0.0, 2.0], [1.0, 3.0], SCALES), SCALES)
    assert (found.mape.value, found.mape.n, found.mae.n) == (0.5, 1, 2)
    assert regression_quality(sums_of([0.0], [1.0], SCALES), SCALES).mape.value is None


def test_what_has_no_events_or_no_spread_is_not_defined() -> None:
    nothing = regression_quality(Sums(), SCALES)
    assert [nothing.mae.value, nothing.rmse.value, nothing.mape.value, nothing.r2.value] == [None] * 4
    assert regression_quality(sums_of([5.0, 5.0], [5.0, 6.0], SCALES), SCALES).r2.value is None
    one = regression_quality(sums_of([5.0], [6.0], SCALES), SCALES)
    assert (one.mae.value, one.mae.interval, one.rmse.interval) == (1.0, None, None)


@pytest.mark.parametrize(("labels", "scales"), [([float("nan")], SCALES), ([1.0], Scales(0.0, 0.0, 1.0))])
def test_what_cannot_be_summed_is_refused(labels: list[float], scales: Scales) -> None:
    with pytest.raises(ContractError):
        sums_of(labels, [1.0], scales)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    scales, draws, n = Scales(5.0, 2.7, 1.0), 400, 150
    # Errors of sd 0.8, labels of sd 2 around 5, which are far from 0.
    truth = {"mae": 0.8 * np.sqrt(2 / np.pi), "rmse": 0.8, "r2": 1 - 0.16}
    held = dict.fromkeys(truth, 0)
    for _ in range(draws):
        labels = rng.normal(5, 2, n)
        found = regression_quality(sums_of(labels, labels + rng.normal(0, 0.8, n), scales), scales)
        for name, value in truth.items():
            interval = getattr(found, name).interval
            held[name] += interval.lower <= value <= interval.upper
    # 95 % of 400 is 380 with a standard deviation of 4.4; the delta method is a little narrow at this n.
    assert all(364 <= count <= 394 for count in held.values()), held


def test_interval_of_r_squared_is_that_of_the_delta_method_event_by_event() -> None:
    # Errors grow with the label's distance from its mean, so the two parts of R squared move together.
    labels, outputs = events(6, 80)
    outputs = labels + (outputs - labels) * np.round(np.abs(labels - labels.mean()))
    found = regression_quality(sums_of(labels, outputs, SCALES), SCALES)
    squares, spread = (outputs - labels) ** 2, (labels - labels.mean()) ** 2
    left = squares.mean() / spread.mean()
    moved = squares / squares.mean() - spread / spread.mean()
    half = 1.959963984540054 * np.sqrt((moved**2).mean() / labels.size)
    expected = 1 - left * np.exp(half), 1 - left * np.exp(-half)
    assert (found.r2.interval.lower, found.r2.interval.upper) == pytest.approx(expected, rel=1e-9)
