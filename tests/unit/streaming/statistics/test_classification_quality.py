"""Measures from counts of labels and outputs: equal to scikit-learn's, additive, and as sure as they say."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from pegel.schemas.grids import MISSING_NAME
from pegel.streaming.statistics.classification_quality import (
    ClassQuality,
    Confusion,
    accuracy,
    class_counts,
    class_quality,
    confusion_of,
    macro,
    micro,
)

NAMES = ("a", "b", "c", "d")
ROWS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from((*NAMES, None))), min_size=1, max_size=60)


def scikit_learn(rows: list[tuple[str, str | None]], average: str | None) -> list[np.ndarray]:
    classes = sorted({name for row in rows for name in row if name is not None})
    labels, outputs = [row[0] for row in rows], [row[1] or MISSING_NAME for row in rows]
    found = precision_recall_fscore_support(labels, outputs, labels=classes, average=average, zero_division=np.nan)
    return list(found[:3])


def counted(rows: list[tuple[str, str | None]]) -> Counter[tuple[str, str]]:
    return confusion_of([row[0] for row in rows], [row[1] for row in rows])


def values(found: ClassQuality) -> tuple[float | None, ...]:
    return found.precision.value, found.recall.value, found.f1.value


@settings(max_examples=60)
@given(ROWS)
def test_measures_of_classes_are_those_of_scikit_learn(rows: list[tuple[str, str | None]]) -> None:
    confusion = counted(rows)
    expected = np.array(scikit_learn(rows, None)).T
    found = [values(class_quality(one)) for one in class_counts(confusion).values()]
    assert np.array(found, dtype=float) == pytest.approx(expected, abs=1e-15, nan_ok=True)
    assert accuracy(confusion).value == accuracy_score([row[0] for row in rows], [row[1] or "" for row in rows])
    for average, mean in (("macro", macro), ("micro", micro)):
        assert np.array(values(mean(confusion)), dtype=float) == pytest.approx(
            np.array(scikit_learn(rows, average)), abs=1e-12, nan_ok=True
        )


@settings(max_examples=60)
@given(ROWS)
def test_intervals_hold_their_values_within_0_and_1(rows: list[tuple[str, str | None]]) -> None:
    confusion = counted(rows)
    qualities = [*map(class_quality, class_counts(confusion).values()), macro(confusion), micro(confusion)]
    for one in (part for quality in qualities for part in (quality.precision, quality.recall, quality.f1)):
        assert (one.value is None) == (one.interval is None)
        if one.value is not None and one.interval is not None:
            assert 0 <= one.interval.lower <= one.value + 1e-12
            assert one.value - 1e-12 <= one.interval.upper <= 1 + 1e-12


@settings(max_examples=30)
@given(ROWS, ROWS, st.sampled_from(NAMES))
def test_label_that_is_corrected_counts_as_if_it_had_always_been_so(
    rows: list[tuple[str, str | None]], more: list[tuple[str, str | None]], right: str
) -> None:
    corrected = [(right, output) for _, output in more]
    first = counted(rows)
    first.update(counted(more))
    first.update(counted(corrected))
    first.subtract(counted(more))
    at_once = counted([*rows, *corrected])
    assert macro(first).f1.value == pytest.approx(macro(at_once).f1.value)
    assert class_counts(first) == class_counts(at_once)
    assert accuracy(first) == accuracy(at_once)


def test_nothing_labelled_has_no_quality() -> None:
    nothing: Confusion = {}
    assert accuracy(nothing).value is None
    assert values(macro(nothing)) == values(micro(nothing)) == (None, None, None)


@pytest.mark.parametrize("n", [60, 400])
def test_intervals_hold_the_truth_about_as_often_as_they_say(n: int) -> None:
    # Errors of class 0 go to class 1, so the F1s of the two move together.
    law = np.array([[0.22, 0.12, 0.0, 0.0], [0.08, 0.18, 0.0, 0.0], [0.0, 0.0, 0.24, 0.01], [0.0, 0.02, 0.02, 0.11]])
    pairs = [(a, b) for a in NAMES for b in NAMES]
    exact = {pair: round(100 * p) for pair, p in zip(pairs, law.ravel(), strict=True)}
    truth = {"macro": values(macro(exact)), "micro": values(micro(exact))}
    held, draws = Counter[tuple[str, int]](), 500
    for draw in np.random.default_rng(4).multinomial(n, law.ravel(), size=draws):
        confusion = dict(zip(pairs, draw.tolist(), strict=True))
        for name, found in (("macro", macro(confusion)), ("micro", micro(confusion))):
            for i, one in enumerate((found.precision, found.recall, found.f1)):
                assert one.interval is not None
                held[name, i] += one.interval.lower <= truth[name][i] <= one.interval.upper
    # 95 % of 500 is 475 with a standard deviation of 4.9; small samples may be a little off.
    assert all(455 <= count <= 495 for count in held.values()), held
