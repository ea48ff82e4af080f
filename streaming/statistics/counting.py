"""Counting values on a grid without Spark: for baselines, and to check what the stream counted. Pure.

The result equals, to the last unit, what the SQL expressions of ingest count for the same values.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pegel.errors import ContractError
from pegel.schemas import grids
from pegel.schemas.grids import Grid, GridColumn, cell_of, make_grid
from pegel.schemas.partials import EVENTS, Tally
from pegel.streaming.statistics.answer_shares import FINISH_SOURCE, FINISHED, UNKNOWN

MAX_CATEGORIES = 200
"""A grid names this many categories at most; the rest is counted as ``__other__``. Convention, not derived."""

Frame = Mapping[str, Sequence[Any]]
"""Column name -> values, None where there is none. All columns have the same length."""

# Far above the error of arcsinh in double precision, far below the share of values that need the slow way.
_NEAR_EDGE = 1e-9
_SUM_CHUNK = 1_000_000
_LARGEST = 1e150


def learn_grid(model: str, specs: Sequence[GridColumn], frame: Frame) -> Grid:
    """Fit the grid of a model to its baseline.

    Args:
        model: name of the registered model.
        specs: the columns; their ``center``, ``scale`` and ``categories`` are replaced.
        frame: the baseline's values by the columns' names. A column that is not there has no values.

    Returns:
        numeric columns get the median and the interquartile range of the finite values (the standard deviation if that
        is 0, 1 if that is 0 too); categorical ones the :data:`MAX_CATEGORIES` most frequent names, ties by name.

    Example:
        >>> column = GridColumn("x", "numeric", "features.x")
        >>> grid = learn_grid("m", [column], {"x": [1.0, 2.0, 3.0, 4.0, 5.0, None]})
        >>> grid.columns[0].center, grid.columns[0].scale
        (3.0, 2.0)
    """
    _length(frame)
    return make_grid(model, [_fitted(spec, frame.get(spec.name, ())) for spec in specs])


def count(frame: Frame, grid: Grid) -> Tally:
    """Count rows on a grid; each row is one event.

    Args:
        frame: values by the columns' names: numbers, or names for categorical columns. None is missing; NaN and
            infinities are non-finite. A column that is not there is missing in every row.
        grid: where the cells lie.

    Raises:
        ContractError: if the columns of the frame differ in length.

    Example:
        >>> grid = make_grid("m", [GridColumn("x", "numeric", "features.x", center=0.0, scale=1.0)])
        >>> tally = count({"x": [0.0, 0.5, None]}, grid)
        >>> tally.n, dict(tally.cells["x"]), tally.sums["x"]
        (3, {-1: 1, 512: 1, 542: 1}, (512, 262144))
    """
    n = _length(frame)
    tally = Tally(Counter({EVENTS: n}))
    for column in grid.columns:
        values = frame.get(column.name, (None,) * n)
        if column.kind == grids.NUMERIC:
            cells, sums = _count_numbers(values, column)
            tally.cells[column.name], tally.sums[column.name] = cells, sums
        else:
            tally.categories[column.name] = _count_names(values, column)
    return tally


def cells_of(values: npt.NDArray[np.float64], center: float, scale: float) -> npt.NDArray[np.int64]:
    """The cell of each value, as :func:`pegel.schemas.grids.cell_of` gives it one by one.

    Args:
        values: shape ``(n,)``; NaN counts as non-finite.
        center: of the column.
        scale: of the column, above 0.

    Returns:
        shape ``(n,)``: 0 to 1023, or a code below 0.
    """
    finite = np.isfinite(values)
    with np.errstate(over="ignore", invalid="ignore"):
        y = (np.arcsinh((values - center) / scale) + grids.HALF_RANGE) * grids.CELLS_PER_UNIT
    y = np.where(finite, y, 0.0)
    cells = np.floor(np.clip(y, -1.0, grids.CELLS)).astype(np.int64)
    cells[cells < 0] = grids.BELOW
    cells[cells >= grids.CELLS] = grids.ABOVE
    cells[~finite] = grids.NON_FINITE
    # numpy's arcsinh and Python's may differ in the last digit, which matters only at an edge.
    for i in np.flatnonzero(finite & (np.abs(y - np.rint(y)) < _NEAR_EDGE)):
        cells[i] = cell_of(float(values[i]), center, scale)
    return cells


def _length(frame: Frame) -> int:
    lengths = {name: len(values) for name, values in frame.items()}
    if len(set(lengths.values())) > 1:
        msg = f"the columns of a frame must have one length, but they have {lengths}; fill what is missing with None"
        raise ContractError(msg)
    return next(iter(lengths.values()), 0)


def _fitted(spec: GridColumn, values: Sequence[Any]) -> GridColumn:
    if spec.kind != grids.NUMERIC:
        names = Counter(name for name in map(_name, (v for v in values if v is not None)) if not _is_long(name))
        # How an answer may well end has to be known by name, though no answer of the baseline ended so.
        also = [name for name in (*FINISHED, UNKNOWN) if spec.source == FINISH_SOURCE and name not in names]
        ordered = sorted(names, key=lambda name: (-names[name], name))[: MAX_CATEGORIES - len(also)]
        return replace(spec, center=0.0, scale=1.0, categories=(*ordered, *also))
    numbers = _numbers([v for v in values if v is not None])
    # Beyond the limit a difference of two values may overflow.
    numbers = np.clip(numbers[np.isfinite(numbers)], -_LARGEST, _LARGEST)
    if not numbers.size:
        return replace(spec, center=0.0, scale=1.0)
    low, center, high = np.quantile(numbers, (0.25, 0.5, 0.75))
    with np.errstate(over="ignore", invalid="ignore"):
        scales = (high - low, np.std(numbers))
    scale = next((float(s) for s in scales if np.isfinite(s) and s > 0), 1.0)
    return replace(spec, center=float(center), scale=scale)


def _count_numbers(values: Sequence[Any], column: GridColumn) -> tuple[Counter[int], tuple[int, int]]:
    present = [v for v in values if v is not None]
    numbers = _numbers(present)
    cells = cells_of(numbers, column.center, column.scale)
    counted = Counter(dict(zip(*(a.tolist() for a in np.unique(cells, return_counts=True)), strict=True)))
    if len(present) < len(values):
        counted[grids.MISSING] += len(values) - len(present)
    inside = numbers[cells >= 0]
    q = np.floor(grids.Q_SCALE * (inside - column.center) / column.scale + 0.5).astype(np.int64)
    # q is below 1.6 million, so the squares of a million of them fit into 64 bits; the total may not.
    chunks = [q[i : i + _SUM_CHUNK] for i in range(0, q.size, _SUM_CHUNK)]
    sums = sum(int(c.sum()) for c in chunks), sum(int(np.dot(c, c)) for c in chunks)
    return Counter(dict(sorted(counted.items()))), sums


def _count_names(values: Sequence[Any], column: GridColumn) -> Counter[str]:
    names = Counter(grids.MISSING_NAME if v is None else _name(v) for v in values)
    known = {*column.categories, grids.MISSING_NAME} if column.categories else {n for n in names if not _is_long(n)}
    counted: Counter[str] = Counter()
    for name, n in names.items():
        counted[name if name in known else grids.OTHER_NAME] += n
    return counted


def _numbers(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _is_long(name: str) -> bool:
    return len(name) > grids.MAX_NAME_CHARACTERS


def _name(value: Any) -> str:
    # A JSON boolean reaches the stream as the text true or false.
    return str(value).lower() if isinstance(value, bool) else str(value)
