"""Cells, bins, quantiles and moments, against the values that were counted."""

import math
import statistics
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.schemas import grids
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn, cell_edges, cell_of, make_grid
from pegel.schemas.partials import Tally, total
from pegel.streaming.statistics.cells import dense, make_bins, moments, quantile, values_of
from pegel.streaming.statistics.counting import cells_of, count, learn_grid

_SCALE = st.floats(1e-6, 1e9)
_CENTER = st.floats(-1e9, 1e9)


@settings(max_examples=150)
@given(
    units=st.lists(st.one_of(st.floats(-2000, 2000), st.floats(allow_nan=True)), max_size=50),
    edges=st.lists(st.integers(0, 1024), max_size=20),
    center=_CENTER,
    scale=_SCALE,
)
def test_cells_of_equals_the_plain_definition(units: list, edges: list, center: float, scale: float) -> None:
    # The edges themselves and their neighbours are where two ways of computing could part.
    exact = cell_edges(center, scale)
    near = [f(exact[i]) for i in edges for f in (float, _below, _above)]
    values = np.array([*(center + scale * u for u in units), *near])
    assert cells_of(values, center, scale).tolist() == [cell_of(float(v), center, scale) for v in values]


def _below(x: float) -> float:
    return math.nextafter(x, -math.inf)


def _above(x: float) -> float:
    return math.nextafter(x, math.inf)


_FRAME = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(-3000, 3000), st.just(math.nan)), st.sampled_from(("a", "b", "c", None))),
    max_size=60,
)
_GRID = make_grid(
    "m",
    [
        GridColumn("x", NUMERIC, "features.x", center=1.0, scale=1.5),
        GridColumn("output", CATEGORICAL, "output", categories=("a", "b")),
    ],
)


def _counted(rows: list) -> Tally:
    return count({"x": [x for x, _ in rows], "output": [name for _, name in rows]}, _GRID)


@settings(max_examples=100)
@given(rows=_FRAME, cuts=st.lists(st.integers(0, 60), max_size=4))
def test_counts_of_parts_add_up_to_the_whole(rows: list, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    parts = total(_counted(rows[a:b]) for a, b in pairwise(bounds))
    assert parts == _counted(rows)


@settings(max_examples=100)
@given(rows=_FRAME)
def test_counts_equal_a_plain_recount(rows: list) -> None:
    tally = _counted(rows)
    assert tally.cells["x"] == Counter(cell_of(x, 1.0, 1.5) for x, _ in rows)
    inside = [x for x, _ in rows if cell_of(x, 1.0, 1.5) >= 0]
    q = [math.floor(1024 * (x - 1.0) / 1.5 + 0.5) for x in inside]
    assert tally.sums["x"] == (sum(q), sum(v * v for v in q))
    named = {None: "__missing__", "c": "__other__"}
    assert tally.categories["output"] == Counter(named.get(name, name) for _, name in rows)
    assert tally.n == len(rows)


@settings(max_examples=100)
@given(
    units=st.lists(st.floats(-1000, 1000), min_size=1, max_size=80),
    share=st.floats(0.001, 1.0),
    center=st.floats(-1e3, 1e3),
    scale=st.floats(1e-2, 1e3),
)
def test_quantile_lies_in_the_cell_of_the_exact_one(units: list, share: float, center: float, scale: float) -> None:
    column = GridColumn("x", NUMERIC, "features.x", center=center, scale=scale)
    values = sorted(center + scale * u for u in units)
    cells = cells_of(np.array(values), center, scale)
    found = quantile(dense(Counter(cells.tolist())), share, column)
    # The exact one: the smallest value with at least this share at or below it.
    rank = next(i for i in range(len(values)) if i + 1 >= share * len(values))
    edges, cell = cell_edges(center, scale), int(cells[rank])
    slack = 1e-9 * scale
    assert found is not None
    assert edges[cell] - slack <= found <= edges[cell + 1] + slack


@settings(max_examples=100)
@given(values=st.lists(st.floats(-50, 50), min_size=2, max_size=60))
def test_moments_are_those_of_the_values_to_their_rounding(values: list[float]) -> None:
    column = GridColumn("x", NUMERIC, "features.x", center=3.0, scale=2.0)
    found = moments(count({"x": values}, make_grid("m", [column])), column)
    step = 2.0 / 1024
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=step)
    assert found.sd == pytest.approx(statistics.stdev(values), abs=step)


@settings(max_examples=100)
@given(
    baseline=st.dictionaries(st.integers(-4, 1023), st.integers(1, 500), max_size=60),
    current=st.dictionaries(st.integers(-4, 1023), st.integers(1, 500), max_size=60),
)
def test_bins_keep_every_count(baseline: dict[int, int], current: dict[int, int]) -> None:
    column = GridColumn("x", NUMERIC, "features.x")
    bins = make_bins(column, Tally(cells={"x": Counter(baseline)}))
    assert bins.baseline.sum() == sum(baseline.values())
    counted = bins.count(Tally(cells={"x": Counter(current)}))
    assert counted.sum() == sum(current.values())
    # What is no number never hides in a bin of numbers.
    assert counted[bins.labels.index("missing")] == current.get(grids.MISSING, 0)
    assert counted[bins.labels.index("non_finite")] == current.get(grids.NON_FINITE, 0)
    assert bins.baseline[bins.ordered].min(initial=1) > 0


def test_bins_of_numbers_share_the_baseline_evenly() -> None:
    rng = np.random.default_rng(3)
    column = learn_grid("m", [GridColumn("x", NUMERIC, "features.x")], {"x": rng.normal(size=20_000)}).columns[0]
    tally = count({"x": rng.normal(size=20_000)}, make_grid("m", [column]))
    shares = make_bins(column, tally).baseline / 20_000
    assert np.count_nonzero(shares) == 20
    # A cell holds at most 1.1 % of a normal column.
    assert shares[shares > 0] == pytest.approx(0.05, abs=0.012)


def test_new_category_is_counted_apart_from_the_known_ones() -> None:
    column = GridColumn("output", CATEGORICAL, "output")
    bins = make_bins(column, Tally(categories={"output": Counter(a=5, b=9)}))
    assert bins.labels == ("b", "a", "__missing__", "__other__")
    assert bins.count(Tally(categories={"output": Counter(a=1, new=2, __missing__=3)})).tolist() == [0, 1, 3, 2]


def test_values_keep_their_order() -> None:
    assert values_of(dense({grids.BELOW: 1, 0: 2, 1023: 3, grids.ABOVE: 4, grids.MISSING: 9})).tolist() == [
        1,
        2,
        *[0] * 1022,
        3,
        4,
    ]
