"""Faults planted into stored partials: what they would have counted, had something gone wrong. Pure.

Only counts are moved and added, so a planted partial holds as many events as before. Numbers move by as much in each
segment; shares and failures are drawn for each partial by itself, from a seed and its micro-batch, so that any order
gives the same. Sums of values are left as they are, since no decision rests on them.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from pegel.schemas import grids
from pegel.schemas.grids import GridColumn, cell_of
from pegel.schemas.partials import ERRORS, EVENTS, LIVE, Partial, Tally


class FaultKind(StrEnum):
    """What goes wrong."""

    SHIFT = "shift"
    """A number is larger, by so many standard deviations of its baseline."""
    SHARE = "share"
    """So large a share of all events leaves a column's most frequent name for the next one."""
    FAILURES = "failures"
    """So large a share of the events that had no error has one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one model version.

    Attributes:
        model: which.
        version: which.
        kind: see there.
        column: the column, or the rate, that must ring.
        size: how large it is, in the unit of its kind.
        shift: of a number, the same in the column's own unit.
    """

    model: str
    version: str
    kind: FaultKind
    column: str
    size: float
    shift: float = 0.0


def plant(partial: Partial, fault: Fault, columns: Mapping[str, GridColumn], grid: str, seed: int) -> Partial:
    """The partial with the fault in it; the same one where the fault is not about it.

    Args:
        partial: any.
        fault: what to plant.
        columns: those of the version's grid.
        grid: its id; what was counted on another is left alone.
        seed: decides which events are touched, where only some are.
    """
    if partial.kind != LIVE or (partial.model, partial.version) != (fault.model, fault.version):
        return partial
    tally = Tally()
    tally.add(partial.tally)
    # Python's own hash of texts differs from process to process.
    name = f"{partial.segment}{partial.window_start.isoformat()}"
    rng = np.random.default_rng([seed, partial.batch_id, *name.encode()])
    if fault.kind is FaultKind.FAILURES:
        n = tally.counts[EVENTS] - tally.counts[ERRORS]
        tally.counts[ERRORS] += int(rng.binomial(n, fault.size)) if n > 0 else 0
    elif partial.grid != grid:
        return partial
    elif fault.kind is FaultKind.SHIFT:
        column = columns[fault.column]
        tally.cells[column.name] = shifted(tally.cells.get(column.name, {}), column, fault.shift)
    else:
        names = tally.categories.get(fault.column, Counter())
        tally.categories[fault.column] = _swapped(names, fault.size, rng)
    return replace(partial, tally=tally)


def shifted(cells: Mapping[int, int], column: GridColumn, shift: float) -> Counter[int]:
    """The cells of the same values plus a shift: each value is taken to lie in the middle of its cell.

    Args:
        cells: cell or code -> number. Values that are missing, not finite or beside the grid stay where they are.
        column: the grid's.
        shift: in the column's own unit.

    Example:
        >>> column = GridColumn("x", "numeric", "latency_ms", center=10.0, scale=2.0)
        >>> shifted({512: 3, -1: 1}, column, 2.0)
        Counter({568: 3, -1: 1})
    """
    moved: Counter[int] = Counter()
    for cell, n in cells.items():
        if cell < 0:
            moved[cell] += n
            continue
        middle = column.center + column.scale * math.sinh((cell + 0.5) / grids.CELLS_PER_UNIT - grids.HALF_RANGE)
        moved[cell_of(middle + shift, column.center, column.scale)] += n
    return moved


def _swapped(names: Mapping[str, int], share: float, rng: np.random.Generator) -> Counter[str]:
    found = Counter(names)
    ranked = sorted((name for name in found if name != grids.MISSING_NAME), key=lambda name: (-found[name], name))
    if len(ranked) < 2:
        return found
    first, second, *_ = ranked
    chance = min(1.0, share * found.total() / found[first])
    moved = int(rng.binomial(found[first], chance))
    found[first] -= moved
    found[second] += moved
    return found
