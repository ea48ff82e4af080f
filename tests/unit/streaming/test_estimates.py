"""The estimated accuracy of a window: there, off or absent, by what the baseline and the window say."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from pegel.lifecycle.baseline import make_baseline
from pegel.schemas.grids import NUMERIC, Grid, GridColumn
from pegel.schemas.metric_names import ESTIMATED_ACCURACY, WEAK_ANSWER_SHARE
from pegel.schemas.partials import ALL, Tally, tally_from_row, tally_to_row
from pegel.streaming.statistics.counting import count, learn_grid
from pegel.streaming.watch.metrics import metric_rows
from pegel.streaming.watch.reference import Comparison, Reference
from pegel.streaming.watch.windows import Revision, WindowSum

SURE = GridColumn("sure", NUMERIC, "confidence")


def answers(rng: np.random.Generator, n: int, *, strange: int = 0) -> tuple[dict[str, list[Any]], list[bool]]:
    """Answers that are right in 0.5 + confidence / 2; strange ones are unsure, and wrong."""
    confidence = np.concatenate([rng.beta(5, 1.5, n - strange), rng.beta(1, 9, strange)])
    right = np.concatenate([rng.random(n - strange) < 0.5 + confidence[: n - strange] / 2, np.zeros(strange, bool)])
    return {"sure": confidence.tolist()}, right.tolist()


def compared(grid: Grid, baseline: Tally) -> Comparison:
    # As it comes back from the table.
    return Comparison(Reference(grid, tally_from_row(tally_to_row(baseline)), "b1"))


def rows_of(grid: Grid, tally: Tally, comparison: Comparison | None) -> dict[str, dict[str, Any]]:
    window = WindowSum(("m", "1", ALL), datetime(2026, 1, 1, tzinfo=UTC), 60, tally.counts, {grid.grid: tally}, 7)
    return {row["metric"]: row for row in metric_rows(Revision(window, labels_only=False), 7, comparison)}


@pytest.fixture(scope="module")
def known() -> tuple[Grid, Tally]:
    values, right = answers(np.random.default_rng(1), 3000)
    grid = learn_grid("m", [SURE], values)
    return grid, make_baseline("m", "1", grid, values, right).tally


def test_accuracy_is_estimated_within_its_interval_while_events_are_like_the_baseline(
    known: tuple[Grid, Tally],
) -> None:
    grid, baseline = known
    values, right = answers(np.random.default_rng(2), 1000)
    rows = rows_of(grid, count(values, grid), compared(grid, baseline))
    row = rows[ESTIMATED_ACCURACY]
    assert row["lower"] < np.mean(right) < row["upper"]
    assert row["value"] == pytest.approx(np.mean(right), abs=0.03)
    assert (row["n"], row["baseline_id"], row["column"], row["p_value"]) == (1000, "b1", "", None)
    weak = rows[WEAK_ANSWER_SHARE]
    assert weak["lower"] < 0.05 < weak["upper"]
    assert (weak["n"], weak["column"]) == (1000, "sure")
    assert weak["p_value"] > 0.01


def test_estimate_is_off_while_weak_answers_are_too_many_and_says_so(known: tuple[Grid, Tally]) -> None:
    grid, baseline = known
    values, _ = answers(np.random.default_rng(3), 1000, strange=100)
    rows = rows_of(grid, count(values, grid), compared(grid, baseline))
    row = rows[ESTIMATED_ACCURACY]
    assert (row["value"], row["lower"], row["upper"], row["n"]) == (None, None, None, 1000)
    assert rows[WEAK_ANSWER_SHARE]["p_value"] < 1e-6


def test_baseline_that_does_not_know_which_answers_were_right_estimates_nothing(known: tuple[Grid, Tally]) -> None:
    grid, _ = known
    values, right = answers(np.random.default_rng(4), 500)
    tally = count(values, grid)
    unlabelled = make_baseline("m", "1", grid, values).tally
    few = make_baseline("m", "1", grid, {"sure": values["sure"][:50]}, right[:50]).tally
    for baseline in (unlabelled, few):
        rows = rows_of(grid, tally, compared(grid, baseline))
        assert ESTIMATED_ACCURACY not in rows
        assert WEAK_ANSWER_SHARE in rows
    assert not {ESTIMATED_ACCURACY, WEAK_ANSWER_SHARE} & set(rows_of(grid, tally, None))


def test_window_without_confidences_says_nothing(known: tuple[Grid, Tally]) -> None:
    grid, baseline = known
    rows = rows_of(grid, count({"sure": [None, None]}, grid), compared(grid, baseline))
    assert not {ESTIMATED_ACCURACY, WEAK_ANSWER_SHARE} & set(rows)


def test_right_answers_change_no_count_of_a_watched_column(known: tuple[Grid, Tally]) -> None:
    grid, _ = known
    values, right = answers(np.random.default_rng(5), 200)
    with_labels, without = make_baseline("m", "1", grid, values, right), make_baseline("m", "1", grid, values)
    assert with_labels.tally.cells["sure"] == without.tally.cells["sure"]
    assert without.tally.counts == Counter(events=200)
    assert with_labels.tally.counts == Counter(events=200, labelled=200, correct=sum(right))
    assert with_labels.baseline_id != without.baseline_id
