"""Distances of raw values equal scipy's, whatever the values; sums and sorting in between change nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance

from pegel.streaming.statistics.samples import ReferenceSample, sample_of

_TIED = st.integers(-3, 3).map(float)
_FREE = st.floats(-1e6, 1e6)
_VALUES = st.one_of(st.lists(_TIED, min_size=1, max_size=40), st.lists(_FREE, min_size=1, max_size=40))


def _compare(current, baseline, *bounds):
    return ReferenceSample(sample_of(np.array(baseline, float))).distances(sample_of(np.array(current, float)), *bounds)


# The warnings are about scipy's p-value, which nothing here uses.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=120)
@given(a=_VALUES, b=_VALUES)
def test_distances_of_values_equal_scipy(a: list[float], b: list[float]) -> None:
    found = _compare(a, b)
    largest = max(map(abs, a + b))
    assert found.kolmogorov_smirnov == pytest.approx(ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
    assert found.wasserstein == pytest.approx(wasserstein_distance(a, b), rel=1e-9, abs=1e-12 * (1 + largest))


@settings(max_examples=80)
@given(a=_VALUES, b=_VALUES, bounds=st.tuples(_TIED | _FREE, _TIED | _FREE))
def test_inner_part_is_the_distance_of_values_pulled_in_to_the_bounds(a, b, bounds) -> None:
    low, high = sorted(bounds)
    found = _compare(a, b, low, high)
    expected = wasserstein_distance(np.clip(a, low, high), np.clip(b, low, high))
    assert found.inner == pytest.approx(expected, rel=1e-9, abs=1e-12 * (1 + max(map(abs, a + b))))


def test_many_values_in_several_stretches_equal_scipy() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.gamma(2.0, 1.0, 90_000), rng.gamma(2.1, 1.0, 70_001)
    found = _compare(a, b)
    assert found.kolmogorov_smirnov == pytest.approx(ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
    assert found.wasserstein == pytest.approx(wasserstein_distance(a, b), rel=1e-9)


@pytest.mark.parametrize("offset", [1e18, -1e18, 1.7e9])
def test_distance_keeps_its_digits_far_from_zero(offset: float) -> None:
    steps = 1024.0 * np.arange(1000)
    found = _compare(offset + steps + 2048.0, offset + steps)
    assert found.wasserstein == pytest.approx(2048.0, rel=1e-9)
    assert found.kolmogorov_smirnov == pytest.approx(0.002, abs=1e-12)


def test_infinite_values_count_at_the_ends_of_the_gap_and_not_in_the_area() -> None:
    found = _compare([-np.inf, 1.0, 2.0, np.inf], [1.0, 2.0])
    assert found.kolmogorov_smirnov == 0.25
    assert found.wasserstein == 0.0
    assert _compare([np.inf] * 3, [-np.inf, 0.0]).kolmogorov_smirnov == 1.0
    assert _compare([np.inf], [np.inf]).kolmogorov_smirnov == 0.0
    assert _compare([np.inf, -np.inf], [1.0]).kolmogorov_smirnov == 0.5


def test_missing_values_are_no_values() -> None:
    assert sample_of(np.array([np.nan, np.nan])).n == 0
    assert _compare([np.nan, 3.0], [3.0]).wasserstein == 0.0
    assert _compare([], [1.0]).kolmogorov_smirnov is None
    assert _compare([1.0], []).wasserstein is None


def test_a_distance_beyond_what_a_float_holds_is_not_defined() -> None:
    found = _compare([1.7e308], [-1.7e308])
    assert found.kolmogorov_smirnov == 1.0
    assert found.wasserstein is None
