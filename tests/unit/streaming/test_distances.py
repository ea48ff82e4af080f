"""Distances on counts equal those of scipy and the plain formulas; on cells they are as near as their text promises."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import chebyshev, euclidean, jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from pegel.schemas.grids import NUMERIC, GridColumn, cell_edges
from pegel.streaming.statistics.cells import dense, positions_in_unit, values_of
from pegel.streaming.statistics.counting import cells_of
from pegel.streaming.statistics.distances import (
    EMPTY_SHARE,
    chi_squared,
    hellinger_distance,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    l_infinity,
    population_stability_index,
    total_variation,
    wasserstein,
)

_COUNT = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 2_000_000))


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    k = draw(st.integers(1, 30))
    sides = [draw(st.lists(_COUNT, min_size=k, max_size=k).filter(any)) for _ in range(2)]
    return np.array(sides[0]), np.array(sides[1])


@settings(max_examples=200)
@given(pair=_pairs())
def test_jensen_shannon_equals_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    current, baseline = pair
    expected = jensenshannon(current, baseline, base=2)
    # Where rounding makes scipy's divergence negative, its root is no number.
    expected = 0.0 if math.isnan(expected) else expected
    assert jensen_shannon_distance(current, baseline) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=200)
@given(pair=_pairs())
def test_chi_squared_equals_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    current, baseline = pair
    seen = current + baseline > 0
    expected = chi2_contingency(np.array([current[seen], baseline[seen]]), correction=False)
    found = chi_squared(current, baseline)
    assert found is not None
    assert found.df == expected.dof
    # Its terms are squared differences of shares, so near 0 it is exact to the rounding of the shares.
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


@settings(max_examples=200)
@given(pair=_pairs())
def test_index_and_total_variation_equal_the_plain_formula(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = ([int(c) / int(side.sum()) for c in side] for side in pair)
    index = math.fsum(
        ((a or EMPTY_SHARE) - (b or EMPTY_SHARE)) * math.log((a or EMPTY_SHARE) / (b or EMPTY_SHARE))
        for a, b in zip(p, q, strict=True)
        if a or b
    )
    assert population_stability_index(*pair) == pytest.approx(index, rel=1e-12, abs=1e-12)
    variation = math.fsum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2
    assert total_variation(*pair) == pytest.approx(variation, abs=1e-12)


@settings(max_examples=100)
@given(pair=_pairs())
def test_hellinger_and_l_infinity_equal_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = (side / side.sum() for side in pair)
    assert hellinger_distance(*pair) == pytest.approx(euclidean(np.sqrt(p), np.sqrt(q)) / math.sqrt(2), abs=1e-12)
    assert l_infinity(*pair) == pytest.approx(chebyshev(p, q), abs=1e-15)


_DISTANCES = (
    jensen_shannon_distance,
    population_stability_index,
    total_variation,
    kolmogorov_smirnov,
    chi_squared,
    hellinger_distance,
    l_infinity,
)


@pytest.mark.parametrize("distance", _DISTANCES)
def test_distance_to_nothing_is_not_defined(distance) -> None:
    some, nothing = np.array([3, 1]), np.array([0, 0])
    assert distance(some, nothing) is None
    assert distance(nothing, some) is None


# Values inside the grid, in units of the scale; near its edge the rounding of asinh would decide.
_INSIDE = st.one_of(st.floats(-3, 3), st.floats(-1400, 1400), st.sampled_from((0.0, 1.0, -1.0, 0.5)))
_SAMPLE = st.lists(_INSIDE, min_size=1, max_size=60)


def _in_unit(sample: list[float], center: float, scale: float) -> np.ndarray:
    return center + scale * np.array(sample)


def _cells(values: np.ndarray, column: GridColumn) -> np.ndarray:
    cells = cells_of(values, column.center, column.scale)
    assert (cells >= 0).all()
    return values_of(dense(Counter(cells.tolist())))


# The warnings are about scipy's p-value, which nothing here uses.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=200)
@given(a=_SAMPLE, b=_SAMPLE, center=st.floats(-1e4, 1e4), scale=st.floats(1e-2, 1e4))
def test_distances_on_cells_are_as_near_as_promised(a: list, b: list, center: float, scale: float) -> None:
    column = GridColumn("x", NUMERIC, "features.x", center=center, scale=scale)
    x, y = _in_unit(a, center, scale), _in_unit(b, center, scale)
    current, baseline = _cells(x, column), _cells(y, column)
    largest = max(current.max() / len(a), baseline.max() / len(b))
    gap = kolmogorov_smirnov(current, baseline)
    exact_gap = ks_2samp(x, y, method="asymp").statistic
    assert gap is not None
    assert exact_gap - largest - 1e-12 <= gap <= exact_gap + 1e-12

    widths = np.concatenate([[0.0], np.diff(cell_edges(center, scale)), [0.0]])
    allowed = float((current / len(a) + baseline / len(b)) @ widths) / 2
    distance = wasserstein(current, baseline, positions_in_unit(column))
    assert distance is not None
    assert abs(distance - wasserstein_distance(x, y)) <= allowed * (1 + 1e-9) + 1e-9 * scale


def test_distances_on_cells_of_many_events_are_near_the_exact_ones() -> None:
    rng = np.random.default_rng(20261125)
    x, y = rng.normal(0.2, 1.1, 4000), rng.normal(0.0, 1.0, 20000)
    column = GridColumn("x", NUMERIC, "features.x", center=0.0, scale=1.35)
    current, baseline = _cells(x, column), _cells(y, column)
    assert kolmogorov_smirnov(current, baseline) == pytest.approx(ks_2samp(x, y).statistic, abs=0.012)
    distance = wasserstein(current, baseline, positions_in_unit(column))
    assert distance == pytest.approx(wasserstein_distance(x, y), abs=0.005)
