"""A changed mix of segments explains a drift exactly if each segment is as it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.streaming.statistics.mix_shift import EXPLAINED, explained_by_mix, moved_shares

LAWS = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.2, 0.6, 0.2]])


def drawn(rng: np.random.Generator, sizes: tuple[int, ...], laws: np.ndarray = LAWS) -> np.ndarray:
    return np.array([rng.multinomial(n, law) for n, law in zip(sizes, laws, strict=True)])


@pytest.mark.parametrize("seed", range(20))
def test_a_drift_by_the_mix_alone_is_explained(seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    explained = explained_by_mix(drawn(rng, (700, 100, 100)), drawn(rng, (1000, 1000, 1000)))
    assert explained is not None
    assert explained >= EXPLAINED


@pytest.mark.parametrize("seed", range(20))
def test_a_drift_within_the_segments_is_not_explained(seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    # The shares move as well, but not towards what is seen.
    explained = explained_by_mix(drawn(rng, (400, 250, 250), LAWS[[1, 1, 1]]), drawn(rng, (1000, 1000, 1000)))
    assert explained is not None
    assert explained < EXPLAINED


@given(st.lists(st.tuples(*[st.integers(1, 60)] * 3), min_size=2, max_size=5), st.data())
def test_an_exact_mixture_is_explained_whole(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    before = 40 * np.array(rows)
    weights = data.draw(st.lists(st.integers(1, 20), min_size=len(rows), max_size=len(rows)))
    explained = explained_by_mix(before * np.array(weights)[:, None], before)
    assert explained is None or explained == pytest.approx(1.0)


def test_without_a_shift_there_is_nothing_to_explain() -> None:
    before = np.array([[500, 300, 200], [100, 100, 100]])
    assert explained_by_mix(before, before) is None
    assert explained_by_mix(np.zeros((2, 3), dtype=np.int64), before) is None
    assert explained_by_mix(before, np.zeros((2, 3), dtype=np.int64)) is None


def test_a_mix_with_a_segment_that_was_not_there_is_not_known() -> None:
    assert moved_shares(np.array([300, 100, 0]), np.array([500, 500, 0])).moved
    assert not moved_shares(np.array([300, 100, 40]), np.array([500, 500, 0])).moved
    assert not moved_shares(np.array([50, 50]), np.array([500, 500])).moved
