"""What the cells of a grid say: bins, quantiles, mean and standard deviation. Pure.

A count vector is *dense*: shape ``(1028,)``, entry ``cell + 4``. Its *values* are the 1,026 entries that have an order:
below the grid, cells 0 to 1023, above the grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
import numpy.typing as npt

from pegel.schemas import grids
from pegel.schemas.grids import GridColumn, cell_edges
from pegel.schemas.partials import Tally

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

QUANTILE_BINS = 20
"""Source: the alarm rule's measurements; more bins cost power, fewer hide the tails."""

MISSING_LABEL = "missing"
NON_FINITE_LABEL = "non_finite"
BELOW_LABEL = "below"
ABOVE_LABEL = "above"

_OFFSET = 4
_DENSE = grids.CELLS + _OFFSET
# below, 0..1023, above: the entries of a dense vector in the order of the values.
_ORDER = np.array([grids.BELOW + _OFFSET, *range(_OFFSET, _DENSE), grids.ABOVE + _OFFSET])


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """The bins of one column: unions of cells, or categories, fixed by a baseline.

    Attributes:
        column: name of the column.
        kind: ``numeric`` or ``categorical``.
        labels: one per bin; a bin of numbers has the label ``""``.
        baseline: the baseline's count per bin, shape ``(k,)``.
        ordered: which bins hold values in ascending order and were seen in the baseline, shape ``(k,)``.
    """

    column: str
    kind: str
    labels: tuple[str, ...]
    baseline: IntArray
    ordered: npt.NDArray[np.bool_]
    _lookup: IntArray
    _names: Mapping[str, int]

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.labels)

    def count(self, tally: Tally) -> IntArray:
        """The counts of a tally per bin, shape ``(k,)``; zeros if the column is not in it.

        A category that the baseline does not have is counted in the bin ``__other__``.
        """
        if self.kind == grids.NUMERIC:
            return self.count_dense(dense(tally.cells.get(self.column, {})))
        result = np.zeros(self.size, dtype=np.int64)
        other = self._names[grids.OTHER_NAME]
        for name, n in tally.categories.get(self.column, {}).items():
            result[self._names.get(name, other)] += n
        return result

    def count_dense(self, counts: IntArray) -> IntArray:
        """The counts of a dense vector per bin, shape ``(k,)``; for numeric columns."""
        return _sum_by(self._lookup, counts, self.size)


def dense(cells: Mapping[int, int]) -> IntArray:
    """Cells as a dense vector, shape ``(1028,)``."""
    result = np.zeros(_DENSE, dtype=np.int64)
    if cells:
        result[np.fromiter(cells.keys(), np.int64, len(cells)) + _OFFSET] = np.fromiter(
            cells.values(), np.int64, len(cells)
        )
    return result


def values_of(counts: IntArray) -> IntArray:
    """The entries of a dense vector that have an order, shape ``(1026,)``: below, the cells, above."""
    values: IntArray = counts[_ORDER]
    return values


def make_bins(column: GridColumn, baseline: Tally, bins: int = QUANTILE_BINS) -> Bins:
    """The bins that a baseline gives a column.

    A numeric column gets quantile bins of the baseline, in whole cells, so that bins which fall together are one.
    Values beyond the baseline's join the outer bins, unless such a bin holds a single cell (a constant, a flag, a
    value at a limit): then what lies beyond has its own bin, or nothing new could ever be seen there. Missing and
    non-finite values have a bin each. A categorical column has one bin a name, most frequent first, one for missing
    and one for all other names.

    Args:
        column: the column and its grid.
        baseline: counted on that grid.
        bins: how many quantile bins to ask for.

    Example:
        >>> from collections import Counter
        >>> column = GridColumn("x", grids.NUMERIC, "features.x")
        >>> baseline = Tally(cells={"x": Counter({100: 5, 200: 5, 300: 10})})
        >>> made = make_bins(column, baseline, bins=2)
        >>> made.baseline.tolist(), made.labels
        ([10, 10, 0, 0, 0], ('', '', 'above', 'missing', 'non_finite'))
    """
    if column.kind == grids.NUMERIC:
        return _numeric_bins(column, dense(baseline.cells.get(column.name, {})), bins)
    return _category_bins(column, baseline.categories.get(column.name, {}))


def _numeric_bins(column: GridColumn, counts: IntArray, bins: int) -> Bins:
    values = values_of(counts)
    # The last value of each bin, as a position in the order of values.
    lasts = [*_quantile_positions(values, bins), values.size - 1]
    labels = [""] * len(lasts)
    occupied = np.flatnonzero(values)
    if occupied.size:
        first_bin = occupied[occupied <= lasts[0]]
        if first_bin.size == 1 and first_bin[0] > 0:
            lasts.insert(0, int(first_bin[0]) - 1)
            labels.insert(0, BELOW_LABEL)
        last_bin = occupied[occupied > lasts[-2]] if len(lasts) > 1 else occupied
        if last_bin.size == 1 and last_bin[0] < values.size - 1:
            lasts.insert(len(lasts) - 1, int(last_bin[0]))
            labels.append(ABOVE_LABEL)
    lookup = np.zeros(_DENSE, dtype=np.int64)
    lookup[_ORDER] = np.searchsorted(np.array(lasts), np.arange(values.size))
    lookup[grids.MISSING + _OFFSET] = len(labels)
    lookup[grids.NON_FINITE + _OFFSET] = len(labels) + 1
    labels += [MISSING_LABEL, NON_FINITE_LABEL]
    baseline = _sum_by(lookup, counts, len(labels))
    ordered = (baseline > 0) & (np.array(labels) == "")
    return Bins(column.name, column.kind, tuple(labels), baseline, ordered, lookup, {})


def _sum_by(lookup: IntArray, counts: IntArray, size: int) -> IntArray:
    # bincount adds doubles, which are exact for whole numbers below 2^53.
    return np.bincount(lookup, weights=counts, minlength=size).astype(np.int64)


def _quantile_positions(values: IntArray, bins: int) -> list[int]:
    total = int(values.sum())
    if not total:
        return []
    cumulated = np.cumsum(values)
    # The first position with at least j/bins of the mass, compared in integers.
    positions = {int(np.searchsorted(cumulated * bins, j * total)) for j in range(1, bins)}
    return sorted(p for p in positions if cumulated[p] < total)


def _category_bins(column: GridColumn, names: Mapping[str, int]) -> Bins:
    apart = (grids.MISSING_NAME, grids.OTHER_NAME)
    known = sorted((n for n, c in names.items() if c > 0 and n not in apart), key=lambda name: (-names[name], name))
    labels = (*known, *apart)
    baseline = np.array([names.get(label, 0) for label in labels], dtype=np.int64)
    index = {label: i for i, label in enumerate(labels)}
    nothing = np.zeros(0, dtype=np.int64)
    return Bins(column.name, column.kind, labels, baseline, np.zeros(len(labels), dtype=bool), nothing, index)


def quantile(counts: IntArray, share: float, column: GridColumn) -> float | None:
    """A quantile of the values, exact to the width of a cell.

    Within a cell the values are taken as spread evenly; values beyond the grid are taken at its outer edge.

    Args:
        counts: a dense vector.
        share: which quantile, 0 to 1.
        column: the column and its grid.

    Returns:
        in the column's unit; None if there is no value.

    Example:
        >>> quantile(dense({512: 4}), 0.5, GridColumn("x", grids.NUMERIC, "x", center=10.0, scale=64.0)) > 10.0
        True
    """
    values = values_of(counts)
    cumulated = np.cumsum(values)
    total = int(cumulated[-1])
    if not total:
        return None
    wanted = min(max(share, 0.0), 1.0) * total
    position = int(np.searchsorted(cumulated, wanted)) if wanted > 0 else int(np.flatnonzero(values)[0])
    low, high = _edges_of(position, column)
    before = int(cumulated[position]) - int(values[position])
    return low + (high - low) * (wanted - before) / int(values[position])


def _edges_of(position: int, column: GridColumn) -> tuple[float, float]:
    edges = _edges(column.center, column.scale)
    return float(edges[max(position - 1, 0)]), float(edges[min(position, grids.CELLS)])


@lru_cache(maxsize=1024)
def _edges(center: float, scale: float) -> FloatArray:
    return np.array(cell_edges(center, scale))


def lower_edges(column: GridColumn) -> FloatArray:
    """The lower edge of each value entry, shape ``(1026,)``, in the column's unit; below the grid there is none."""
    edges = _edges(column.center, column.scale)
    return np.concatenate([[-np.inf], edges])


def upper_edges(column: GridColumn) -> FloatArray:
    """The upper edge of each value entry, shape ``(1026,)``, in the column's unit; above the grid there is none."""
    edges = _edges(column.center, column.scale)
    return np.concatenate([edges, [np.inf]])


def positions_in_unit(column: GridColumn) -> FloatArray:
    """Where the mass of each value entry is taken to lie: the middle of its cell; beyond the grid its outer edge.

    Returns:
        shape ``(1026,)``, ascending, in the column's unit.
    """
    edges = _edges(column.center, column.scale)
    return np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation of the values inside the grid.

    Attributes:
        n: how many values.
        mean: None if there is none.
        sd: of the sample (divided by n - 1); None below two values.
    """

    n: int
    mean: float | None
    sd: float | None


def moments(tally: Tally, column: GridColumn) -> Moments:
    """Mean and standard deviation from the integer sums of q: the same in whatever order the values came.

    Values off the grid are left out. Each value is rounded to ``scale / 1024``.

    Example:
        >>> from collections import Counter
        >>> column = GridColumn("x", grids.NUMERIC, "x", center=1.0, scale=1.0)
        >>> moments(Tally(cells={"x": Counter({512: 1, 560: 1})}, sums={"x": (1024, 1024**2)}), column)
        Moments(n=2, mean=1.5, sd=0.7071067811865476)
    """
    n = sum(count for cell, count in tally.cells.get(column.name, {}).items() if cell >= 0)
    q, q2 = tally.sums.get(column.name, (0, 0))
    if n <= 0:
        return Moments(0, None, None)
    unit = column.scale / grids.Q_SCALE
    mean = column.center + unit * (q / n)
    # A whole number, so that a constant column has a standard deviation of exactly 0.
    spread = max(0, n * q2 - q * q)
    return Moments(n, mean, unit * sqrt(spread / (n * (n - 1))) if n > 1 else None)
