"""The frozen grid that numbers are counted on, and the columns that a model is watched by. Pure.

A numeric value x is counted in cell ``floor((asinh((x - center) / scale) + 8) * 64)``, 0 to 1023: near the center a
cell is ``scale / 64`` wide, in the tails 1.6 % of the value. What is not on the grid has a code below 0.
Counts on one grid add up, whatever the order and the split of the events.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

CELLS = 1024
HALF_RANGE = 8.0
CELLS_PER_UNIT = 64
Q_SCALE = 1024
"""Sums are of ``q = round(Q_SCALE * (x - center) / scale)``: integers, so that they add up in any order."""

MISSING = -1
NON_FINITE = -2
BELOW = -3
ABOVE = -4

MISSING_NAME = "__missing__"
OTHER_NAME = "__other__"
MAX_NAME_CHARACTERS = 128
"""A longer text is no category: it is counted as :data:`OTHER_NAME`."""

NUMERIC = "numeric"
CATEGORICAL = "categorical"

DEFAULT_GRID = "default"
"""Id of the grid for versions that nobody registered: nothing is lost, and nothing can be judged."""


@dataclass(frozen=True, slots=True)
class GridColumn:
    """A column that is watched.

    Attributes:
        name: the name in ``profiles``, ``metrics`` and alerts.
        kind: ``numeric`` or ``categorical``.
        source: where the value comes from: ``features.<name>``, ``input_length`` (characters), ``input_words``,
            ``output``, ``confidence`` (the highest probability), ``latency_ms``, ``input_tokens``, ``output_tokens``.
        drift: whether it is compared with the baseline (latency, say, is only reported).
        center: the baseline's median; 0 for a categorical column.
        scale: the baseline's interquartile range; its standard deviation if that is 0; 1 if that is 0 too.
        categories: the names that are counted apart; all others are counted as ``__other__``. Empty means every name.
    """

    name: str
    kind: str
    source: str
    drift: bool = True
    center: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """The columns of one model, frozen. ``grid`` is a hash of the content."""

    grid: str
    model: str
    columns: tuple[GridColumn, ...]

    def column(self, name: str) -> GridColumn:
        """The column of that name; ``KeyError`` if there is none."""
        return next(c for c in self.columns if c.name == name)


def make_grid(model: str, columns: Sequence[GridColumn]) -> Grid:
    """Freeze columns into a grid whose id is a hash of the content: the same columns give the same id."""
    content = json.dumps([model, [asdict(c) for c in columns]], sort_keys=True)
    return Grid(hashlib.sha256(content.encode()).hexdigest()[:16], model, tuple(columns))


def grid_from_row(row: Mapping[str, Any]) -> Grid:
    """Read one row of ``grids``."""
    columns = (GridColumn(**{**column, "categories": tuple(column["categories"] or ())}) for column in row["columns"])
    return Grid(row["grid"], row["model"], tuple(columns))


DEFAULT_COLUMNS = (
    GridColumn("input_length", NUMERIC, "input_length"),
    GridColumn("confidence", NUMERIC, "confidence"),
    GridColumn("latency_ms", NUMERIC, "latency_ms", drift=False),
    GridColumn("output", CATEGORICAL, "output"),
)


def default_grid(model: str) -> Grid:
    """The grid for events of a version that has none: center 0, scale 1, so only positions, no verdict."""
    return Grid(DEFAULT_GRID, model, DEFAULT_COLUMNS)


def cell_of(x: float | None, center: float, scale: float) -> int:
    """The cell or code that a value is counted in; the plain definition, which the SQL expression must equal.

    Example:
        >>> cell_of(0.0, 0.0, 1.0), cell_of(None, 0.0, 1.0), cell_of(1e9, 0.0, 1.0), cell_of(float("inf"), 0.0, 1.0)
        (512, -1, -4, -2)
    """
    if x is None:
        return MISSING
    if not math.isfinite(x):
        return NON_FINITE
    y = (math.asinh((x - center) / scale) + HALF_RANGE) * CELLS_PER_UNIT
    if y < 0:
        return BELOW
    if y >= CELLS:
        return ABOVE
    return math.floor(y)


def cell_edges(center: float, scale: float) -> list[float]:
    """The 1,025 edges of the cells in the column's own unit, ascending.

    Example:
        >>> edges = cell_edges(0.0, 1.0)
        >>> len(edges), edges[512]
        (1025, 0.0)
    """
    return [center + scale * math.sinh(i / CELLS_PER_UNIT - HALF_RANGE) for i in range(CELLS + 1)]
