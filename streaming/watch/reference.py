"""What a model version is compared with, and what follows from it once for all comparisons. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pegel.schemas import grids
from pegel.schemas.grids import Grid, GridColumn
from pegel.schemas.partials import CORRECT_CELLS, Tally
from pegel.streaming.statistics.alarm import ColumnTest
from pegel.streaming.statistics.cells import (
    MISSING_LABEL,
    Bins,
    FloatArray,
    IntArray,
    Moments,
    dense,
    make_bins,
    moments,
    positions_in_unit,
    values_of,
)
from pegel.streaming.statistics.dispersion import Dispersion
from pegel.streaming.statistics.probability_calibration import FEWEST_ROWS, Calibration, isotonic
from pegel.streaming.watch.rates import finish_column, rate_tests, rates_in

_CONFIDENCE_SOURCE = "confidence"


@dataclass(frozen=True, slots=True)
class Reference:
    """The baseline of a model version.

    Attributes:
        grid: what it was counted on; only counts on this grid are compared with it.
        baseline: its counts.
        baseline_id: its name.
        dispersions: column -> how its blocks differ; a column that is not there has a young baseline.
    """

    grid: Grid
    baseline: Tally
    baseline_id: str
    dispersions: Mapping[str, Dispersion] = field(default_factory=dict)


References = Callable[[str, str], Reference | None]
"""(model, version) -> its reference; None while it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class ColumnBaseline:
    """One column's baseline, prepared.

    Attributes:
        values: the baseline's ordered cells, shape ``(1026,)``; nothing in it for a categorical column.
        positions: where their mass lies, in the column's unit, shape ``(1026,)``.
        moments: of the baseline; likewise.
        n: events in the baseline.
        missing: how many of them have no value.
    """

    baseline_id: str
    column: GridColumn
    bins: Bins
    test: ColumnTest
    values: IntArray
    positions: FloatArray
    moments: Moments
    n: int
    missing: int


class Comparison:
    """A reference and what it makes of each column; built once per version."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.columns = {column.name: _prepared(column, reference) for column in reference.grid.columns}
        self.watched = tuple(c.name for c in reference.grid.columns if c.drift)
        """The columns that may ring."""
        self._finish = finish_column(reference.grid.columns)
        self.rates = rate_tests(reference.baseline.counts, self._finishes(reference.baseline))
        """Rate -> what judges it; those that the baseline does not know are not there."""
        self.confidence = next((c for c in self.columns.values() if c.column.source == _CONFIDENCE_SOURCE), None)
        """The column of the confidence; None if the model has none."""
        self.correctness = _correctness(reference, self.confidence)
        """How often an answer with a confidence is right; None if the baseline does not know it of enough answers."""

    @property
    def grid_id(self) -> str:
        """Id of the grid that counts must be on."""
        return self.reference.grid.grid

    @property
    def baseline_id(self) -> str:
        """Name of the baseline."""
        return self.reference.baseline_id

    def bin(self, tally: Tally) -> dict[str, IntArray]:
        """The counts of each watched column per bin."""
        return {name: self.columns[name].bins.count(tally) for name in self.watched}

    def rates_in(self, counts: Mapping[str, int], tally: Tally) -> dict[str, tuple[int, int]]:
        """Rate -> (hits, events), for the rates that are judged and of which anything was counted.

        Args:
            counts: the counters, of all grids.
            tally: what was counted on the baseline's grid.
        """
        return {name: n for name, n in rates_in(counts, self._finishes(tally)).items() if name in self.rates}

    def _finishes(self, tally: Tally) -> Mapping[str, int]:
        return {} if self._finish is None else tally.categories.get(self._finish, {})


def _correctness(reference: Reference, confidence: ColumnBaseline | None) -> Calibration | None:
    right = reference.baseline.cells.get(CORRECT_CELLS)
    if right is None or confidence is None or confidence.values.sum() < FEWEST_ROWS:
        return None
    return isotonic(values_of(dense(right)), confidence.values)


def _prepared(column: GridColumn, reference: Reference) -> ColumnBaseline:
    bins = make_bins(column, reference.baseline)
    numeric = column.kind == grids.NUMERIC
    cells: Mapping[int, int] = reference.baseline.cells.get(column.name, {}) if numeric else {}
    return ColumnBaseline(
        baseline_id=reference.baseline_id,
        column=column,
        bins=bins,
        test=ColumnTest(bins, reference.dispersions.get(column.name)),
        values=values_of(dense(cells)),
        positions=positions_in_unit(column),
        moments=moments(reference.baseline, column) if numeric else Moments(0, None, None),
        n=int(bins.baseline.sum()),
        missing=int(bins.baseline[bins.labels.index(MISSING_LABEL if numeric else grids.MISSING_NAME)]),
    )
