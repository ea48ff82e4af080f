"""Quality without labels: equal to the definitions event by event, as sure as it says, graded by what became known."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pegel.errors import ContractError
from pegel.streaming.statistics.confidence_based import estimate_accuracy, estimate_quality, expected_counts
from pegel.streaming.statistics.estimate_grading import FEWEST_WINDOWS, GradedWindow, grade
from pegel.streaming.statistics.probability_calibration import isotonic, platt

CELLS = 50
MIDDLES = (np.arange(CELLS) + 0.5) / CELLS


def truth_of(confidence: np.ndarray) -> np.ndarray:
    """A model that is too sure of itself."""
    return 0.1 + 0.8 * confidence**2


def drawn(rng: np.random.Generator, n: int, a: float = 2.0, b: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    confidence = rng.beta(a, b, n)
    return np.minimum((confidence * CELLS).astype(int), CELLS - 1), rng.random(n) < truth_of(confidence)


def counted(cells: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    return np.bincount(cells if where is None else cells[where], minlength=CELLS)


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6))
def test_isotonic_calibration_is_that_of_scikit_learn_on_the_rows(seed: int) -> None:
    cells, right = drawn(np.random.default_rng(seed), 200)
    made = isotonic(counted(cells, right), counted(cells))
    model = IsotonicRegression(out_of_bounds="clip").fit(cells, right)
    assert made.rates == pytest.approx(model.predict(np.arange(CELLS)), abs=1e-9)
    assert (np.diff(made.rates) >= -1e-12).all()
    assert made.rows.sum() == 200
    for block in range(made.rows.size):
        inside = counted(cells)[made.blocks == block].sum()
        assert inside == made.rows[block]


def test_platts_calibration_is_that_of_scikit_learn_on_the_rows() -> None:
    cells, right = drawn(np.random.default_rng(1), 400)
    made = platt(counted(cells, right), counted(cells), MIDDLES)
    logits = np.log(MIDDLES / (1 - MIDDLES))[:, None]
    model = LogisticRegression(C=np.inf).fit(logits[cells], right)
    assert made.rates == pytest.approx(model.predict_proba(logits)[:, 1], abs=1e-4)


def test_too_few_rows_and_rows_of_one_kind_calibrate_nothing() -> None:
    few = np.full(CELLS, 1)
    with pytest.raises(ContractError, match="100 labelled rows"):
        isotonic(few, few)
    with pytest.raises(ContractError, match="nothing to fit"):
        platt(few * 3, few * 3, MIDDLES)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60))
def test_estimates_are_the_definitions_summed_event_by_event(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    known, right = drawn(rng, 300)
    calibration = isotonic(counted(known, right), counted(known))
    cells, _ = drawn(rng, n)
    chosen = MIDDLES[cells] > 0.5
    p = calibration.rates[cells]
    tp, fp, fn, tn = (
        sum(weight for weight, taken in zip(w, where, strict=True) if taken)
        for w, where in ((p, chosen), (1 - p, chosen), (p, ~chosen), (1 - p, ~chosen))
    )
    counts = expected_counts(counted(cells, chosen), counted(cells, ~chosen), calibration)
    found_counts = (counts.true_positives, counts.false_positives, counts.false_negatives, counts.true_negatives)
    assert found_counts == pytest.approx((tp, fp, fn, tn))
    found = estimate_quality(counted(cells, chosen), counted(cells, ~chosen), calibration)
    for measure, top, bottom in (
        (found.accuracy, tp + tn, n),
        (found.precision, tp, tp + fp),
        (found.recall, tp, tp + fn),
        (found.specificity, tn, tn + fp),
        (found.f1, 2 * tp, 2 * tp + fp + fn),
    ):
        if bottom > 0:
            assert measure.value == pytest.approx(top / bottom)
            assert 0 <= measure.interval.lower <= measure.value <= measure.interval.upper <= 1
        else:
            assert measure.value is None
    assert estimate_accuracy(counted(cells), calibration).value == pytest.approx(p.mean())
    pairs = p[:, None] * (1 - p)[None, :]
    if pairs.sum() > 0:
        order = (cells[:, None] > cells) + 0.5 * (cells[:, None] == cells)
        assert found.roc_auc.value == pytest.approx((pairs * order).sum() / pairs.sum())


def test_estimate_follows_a_change_of_mix_and_its_interval_holds_what_labels_say_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held, quality_held, draws = 0, 0, 200
    for _ in range(draws):
        known, right = drawn(rng, 1500)
        calibration = isotonic(counted(known, right), counted(known))
        cells, right = drawn(rng, 500, a=1.0, b=1.3)
        found = estimate_accuracy(counted(cells), calibration)
        held += found.interval.lower <= right.mean() <= found.interval.upper
        chosen = MIDDLES[cells] > 0.5
        f1 = estimate_quality(counted(cells, chosen), counted(cells, ~chosen), calibration).f1
        realised = 2 * (right & chosen).sum() / (chosen.sum() + right.sum())
        quality_held += f1.interval.lower <= realised <= f1.interval.upper
    # 95 % of 200 is 190 with a standard deviation of 3.1.
    assert 180 <= held <= 199
    assert 180 <= quality_held <= 199


def test_nothing_counted_has_no_estimate() -> None:
    cells, right = drawn(np.random.default_rng(3), 200)
    calibration = isotonic(counted(cells, right), counted(cells))
    nothing = np.zeros(CELLS, dtype=np.int64)
    assert estimate_accuracy(nothing, calibration).value is None
    found = estimate_quality(nothing, nothing, calibration)
    assert {found.accuracy.value, found.f1.value, found.roc_auc.value, found.average_precision.value} == {None}


def test_grade_of_an_estimator_that_errs_by_chance_alone_is_about_none_and_else_the_rest() -> None:
    rng = np.random.default_rng(4)
    for extra in (0.0, 0.03):
        errors = rng.normal(0, sqrt(0.01**2 + extra**2), 2000)
        found = grade([GradedWindow(0.8 + error, 0.8, 0.01) for error in errors])
        assert found.error_sd == pytest.approx(extra, abs=0.004)
        assert found.mean_error == pytest.approx(0, abs=0.003)
    assert grade([GradedWindow(0.8, 0.8, 0.01)] * (FEWEST_WINDOWS - 1)) is None


def test_estimator_that_was_too_hopeful_widens_its_interval_until_it_holds_what_labels_say() -> None:
    rng = np.random.default_rng(5)
    known, right = drawn(rng, 1500)
    calibration = isotonic(counted(known, right), counted(known))
    windows = []
    for _ in range(30):
        cells, _ = drawn(rng, 500)
        # The world has changed: seven points fewer are right than the confidences say.
        realised = (rng.random(500) < truth_of(MIDDLES[cells]) - 0.07).mean()
        windows.append((counted(cells), realised))
    graded = []
    for events, realised in windows:
        found = estimate_accuracy(events, calibration)
        graded.append(GradedWindow(found.value, realised, (found.interval.upper - found.value) / 1.959964))
    made = grade(graded)
    assert made.mean_error == pytest.approx(0.07, abs=0.03)
    assert made.held < 0.5
    wide = [estimate_accuracy(events, calibration, made.error_sd) for events, _ in windows]
    held = sum(
        one.interval.lower <= realised <= one.interval.upper for one, (_, realised) in zip(wide, windows, strict=True)
    )
    assert held >= 28
