"""Areas from counts in cells: scikit-learn's within the error they state, and as sure as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from pegel.streaming.statistics.ranking_quality import average_precision, roc_auc

AREAS = ((roc_auc, roc_auc_score), (average_precision, average_precision_score))
SCORED = st.lists(st.tuples(st.booleans(), st.integers(0, 63)), max_size=50).map(
    lambda rows: [(True, 9), (False, 9), (True, 40), *rows]
)


def counted(labels: np.ndarray, cells: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.bincount(cells[labels], minlength=k), np.bincount(cells[~labels], minlength=k)


@settings(max_examples=25)
@given(SCORED, st.sampled_from((1, 2, 8, 64)))
def test_area_is_that_of_the_raw_scores_within_the_error_that_it_states(rows: list[tuple[bool, int]], k: int) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    cells = scores * k // 64
    for ours, theirs in AREAS:
        found = ours(*counted(labels, cells, k))
        assert found.value == pytest.approx(theirs(labels, cells), abs=1e-12)
        assert abs(found.value - theirs(labels, scores)) <= found.grid_error + 1e-12
        assert found.n == len(rows)
        assert 0 <= found.interval.lower <= found.value <= found.interval.upper <= 1


@settings(max_examples=15)
@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda rows: 0 < sum(rows) < len(rows)))
def test_area_is_exact_where_no_cell_holds_both_classes_or_two_scores(labels: list[bool]) -> None:
    truth, scores = np.array(labels), np.arange(len(labels))
    for ours, theirs in AREAS:
        found = ours(*counted(truth, scores, len(labels)))
        assert found.value == pytest.approx(theirs(truth, scores), abs=1e-12)
        assert found.grid_error == pytest.approx(0, abs=1e-12)


def test_area_of_one_class_is_not_defined() -> None:
    some, none = np.array([1, 2]), np.array([0, 0])
    assert roc_auc(some, none).value is None
    assert roc_auc(none, some).value is None
    assert average_precision(none, some).value is None
    assert average_precision(some, none).value == 1


def test_perfect_order_is_not_taken_for_certain() -> None:
    for ours, _ in AREAS:
        found = ours(np.array([0, 5]), np.array([5, 0]))
        assert found.value == 1
        assert 0.5 < found.interval.lower < 0.6


def test_delongs_variance_is_that_of_all_pairs() -> None:
    # The plain definition: variances of each event's own share of pairs that are in order.
    rng = np.random.default_rng(1)
    positives, negatives = rng.integers(0, 9, 12), rng.integers(0, 6, 17)
    order = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    se = np.sqrt(order.mean(axis=1).var(ddof=1) / 12 + order.mean(axis=0).var(ddof=1) / 17)
    area = order.mean()
    found = roc_auc(np.bincount(positives, minlength=9), np.bincount(negatives, minlength=9))
    half = norm.ppf(0.975) * se / (area * (1 - area))
    expected = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + half))) + found.grid_error
    assert found.interval.upper == pytest.approx(expected)


@pytest.mark.parametrize(("ours", "theirs"), AREAS)
def test_intervals_hold_the_truth_at_least_as_often_as_they_say(ours, theirs) -> None:
    rng = np.random.default_rng(2)
    many = 200_000
    truth = theirs(np.arange(many) < many // 4, np.where(np.arange(many) < many // 4, 1.2, 0) + rng.normal(size=many))
    held = 0
    for _ in range(300):
        labels = rng.random(200) < 0.25
        scores = np.where(labels, 1.2, 0) + rng.normal(size=200)
        found = ours(*counted(labels, np.clip((scores + 5) * 50, 0, 599).astype(int), 600))
        held += found.interval.lower <= truth <= found.interval.upper
    # 95 % of 300 is 285 with a standard deviation of 3.8. The logit interval is known to be wide.
    assert held >= 273
