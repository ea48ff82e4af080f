"""Losses of probabilities equal scikit-learn's to the rounding they state; calibration error equals a plain recount."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from pegel.streaming.statistics.probability_quality import (
    SUM_SCALE,
    Sums,
    brier_losses,
    calibration_error,
    log_losses,
    mean_of_sums,
    sums_of,
)

ROUNDING = 0.5 / SUM_SCALE


def answers(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(classes, 0.4), size=n), rng.integers(0, classes, n)


@settings(max_examples=20)
@given(seed=st.integers(0, 999), n=st.integers(1, 80), classes=st.integers(2, 5), cut=st.integers(0, 80))
def test_log_loss_and_brier_score_are_those_of_scikit_learn_however_events_are_split(
    seed: int, n: int, classes: int, cut: int
) -> None:
    given_to, labels = answers(seed, n, classes)
    own = given_to[np.arange(n), labels]
    for losses, expected in (
        (log_losses(own), log_loss(labels, given_to, labels=range(classes))),
        (
            brier_losses(own, (given_to**2).sum(axis=1)),
            brier_score_loss(labels, given_to, labels=range(classes), scale_by_half=False),
        ),
    ):
        sums = sums_of(losses[:cut]) + sums_of(losses[cut:])
        assert sums == sums_of(losses[::-1])
        assert mean_of_sums(sums).value == pytest.approx(expected, abs=ROUNDING + 1e-9)
        assert mean_of_sums(sums).n == n


def test_label_that_is_corrected_leaves_no_trace_in_a_sum() -> None:
    wrong, right, rest = (sums_of(log_losses(np.array(p))) for p in ([0.1], [0.7], [0.4, 0.5]))
    assert rest + wrong - wrong + right == rest + right


def test_impossible_label_costs_a_finite_loss() -> None:
    found = mean_of_sums(sums_of(log_losses(np.array([0.0, 1.0]))))
    assert found.value == pytest.approx(log_loss([0, 1], [[0.0, 1.0], [0.0, 1.0]]), abs=ROUNDING)


def test_no_events_have_no_mean_and_one_has_no_interval() -> None:
    assert mean_of_sums(Sums(0, 0, 0)).value is None
    assert mean_of_sums(sums_of(np.array([0.5]))).interval is None


def test_interval_of_a_loss_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.1, 0.9, (400, 300))
    right = rng.random(p.shape) < p
    grid = np.linspace(0.1, 0.9, 10_001)
    truth = -(grid * np.log(grid) + (1 - grid) * np.log(1 - grid)).mean()
    held = 0
    for row, hit in zip(p, right, strict=True):
        found = mean_of_sums(sums_of(log_losses(np.where(hit, row, 1 - row))))
        held += found.interval.lower <= truth <= found.interval.upper
    assert 366 <= held <= 394


def bins_of(confidence: np.ndarray, right: np.ndarray, k: int = 10) -> tuple[np.ndarray, ...]:
    where = np.minimum((confidence * k).astype(int), k - 1)
    q = np.floor(confidence * SUM_SCALE + 0.5)
    return tuple(np.bincount(where, weights=w, minlength=k).astype(np.int64) for w in (np.ones_like(q), right, q))


def test_calibration_error_equals_a_plain_recount() -> None:
    rng = np.random.default_rng(5)
    confidence = rng.random(500)
    right = rng.random(500) < confidence**2
    where = np.minimum((confidence * 10).astype(int), 9)
    expected = sum(abs(sum(right[where == b]) - sum(confidence[where == b])) for b in range(10)) / 500
    found = calibration_error(*bins_of(confidence, right))
    assert found.error.value == pytest.approx(expected, abs=ROUNDING)
    assert found.error.n == 500
    empty = np.zeros(10, np.int64)
    assert calibration_error(empty, empty, empty).error.value is None


def test_calibrated_model_shows_the_error_that_chance_makes() -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(200):
        confidence = rng.random(300)
        found.append(calibration_error(*bins_of(confidence, rng.random(300) < confidence)))
    shown = np.array([one.error.value for one in found])
    by_chance = np.mean([one.by_chance for one in found])
    assert shown.mean() == pytest.approx(by_chance, abs=4 * shown.std() / sqrt(200) + 0.001)
    assert sum(one.error.interval.lower == 0 for one in found) >= 190


@pytest.mark.parametrize("power", [1.15, 1.5, 2.5])
def test_interval_of_a_calibration_error_holds_the_truth_at_least_as_often_as_it_says(power: float) -> None:
    rng = np.random.default_rng(7)
    fine = (np.arange(10**5) + 0.5) / 10**5
    truth = abs((fine**power - fine).reshape(10, -1).mean(axis=1)).mean()
    held = 0
    for _ in range(300):
        confidence = rng.random(300)
        found = calibration_error(*bins_of(confidence, rng.random(300) < confidence**power)).error
        held += found.interval.lower <= truth <= found.interval.upper
    assert held >= 279
