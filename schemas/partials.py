"""What is counted: a partial of one micro-batch, or the sum of many. Pure, integers only, addition only."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

LIVE = "live"
FEEDBACK_KIND = "feedback"
BACKFILL = "backfill"
BACKFILL_HUB = ":backfill"
"""What follows a hub's name where an event of it came from files, beside the live stream; no hub has a colon.

It sorts after the hub's own name, so of two copies in one micro-batch the live one counts.
"""

EVENTS = "events"
ERRORS = "errors"
LABELLED = "labelled"
CORRECT = "correct"
INPUT_TOKENS = "input_tokens"
OUTPUT_TOKENS = "output_tokens"
ANSWERED = "answered"
"""In a baseline alone: its events without an error. Only a baseline with it, or with errors, says how many failed."""

ALL = "*"
"""The segment of all events."""

CORRECT_CELLS = "__correct__"
"""Among the cells of a baseline: its answers that were right, by the cell of their confidence. No column has the
name."""

MERGED_SECONDS = 60
"""Windows so long are what is left of shorter ones whose partials are no longer kept for each micro-batch; a window
that does not divide a minute stays as it is."""


@dataclass(slots=True)
class Tally:
    """Counts that add up: general counters, numeric cells with their sums, and categories.

    Attributes:
        counts: name -> number, e.g. ``events``.
        cells: column -> cell (0..1023, or a code below 0) -> number.
        sums: column -> (sum of q, sum of q squared) over the values inside the grid; see ``schemas.grids.Q_SCALE``.
        categories: column -> name -> number.
    """

    counts: Counter[str] = field(default_factory=Counter)
    cells: dict[str, Counter[int]] = field(default_factory=dict)
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)
    categories: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many events are in it."""
        return self.counts[EVENTS]

    def add(self, other: "Tally", sign: int = 1) -> None:
        """Add (or with ``sign=-1`` take away) another tally, in place. Exact, in any order."""
        _add_counts(self.counts, other.counts, sign)
        for column, cells in other.cells.items():
            _add_counts(self.cells.setdefault(column, Counter()), cells, sign)
        for column, (q, q2) in other.sums.items():
            old = self.sums.get(column, (0, 0))
            self.sums[column] = (old[0] + sign * q, old[1] + sign * q2)
        for column, names in other.categories.items():
            _add_counts(self.categories.setdefault(column, Counter()), names, sign)


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies.

    Example:
        >>> total([Tally(Counter(events=2)), Tally(Counter(events=3))]).n
        5
    """
    result = Tally()
    for tally in tallies:
        result.add(tally)
    return result


@dataclass(frozen=True, slots=True)
class Partial:
    """One row of ``profiles``."""

    model: str
    version: str
    segment: str
    window_start: datetime
    window_s: int
    grid: str
    batch_id: int
    kind: str
    first_enqueued: datetime | None
    last_enqueued: datetime | None
    tally: Tally


def tally_from_row(row: Mapping[str, Any]) -> Tally:
    """Read the counting columns of a row of ``profiles`` or ``baselines``.

    Maps may come as mappings or as lists of pairs, as Spark and pyarrow give them.
    """
    tally = Tally(Counter(_pairs(row["counts"])))
    for column, content in _pairs(row["numeric"]).items():
        tally.cells[column] = Counter(_pairs(content["cells"]))
        tally.sums[column] = (content["sum_q"] or 0, content["sum_q2"] or 0)
    for column, names in _pairs(row["categorical"]).items():
        tally.categories[column] = Counter(_pairs(names))
    return tally


def tally_to_row(tally: Tally) -> dict[str, Any]:
    """The counting columns of a row: zeros are left out, keys are in order, so equal tallies give equal rows."""
    return {
        "counts": {k: v for k, v in sorted(tally.counts.items()) if v},
        "numeric": {
            column: {
                "cells": {k: v for k, v in sorted(cells.items()) if v},
                "sum_q": tally.sums.get(column, (0, 0))[0],
                "sum_q2": tally.sums.get(column, (0, 0))[1],
            }
            for column, cells in sorted(tally.cells.items())
        },
        "categorical": {
            column: {k: v for k, v in sorted(names.items()) if v} for column, names in sorted(tally.categories.items())
        },
    }


def partial_from_row(row: Mapping[str, Any]) -> Partial:
    """Read one row of ``profiles``."""
    return Partial(
        row["model"],
        row["version"],
        row["segment"],
        row["window_start"],
        row["window_s"],
        row["grid"],
        row["batch_id"],
        row["kind"],
        row["first_enqueued"],
        row["last_enqueued"],
        tally_from_row(row),
    )


def partial_to_row(partial: Partial) -> dict[str, Any]:
    """The row of ``profiles``; :func:`partial_from_row` reads it back."""
    names = (f.name for f in fields(Partial) if f.name != "tally")
    return {**{name: getattr(partial, name) for name in names}, **tally_to_row(partial.tally)}


def _add_counts(mine: Counter[Any], other: Mapping[Any, int], sign: int) -> None:
    # Counter's own methods are several times faster than a loop over its items.
    if sign >= 0:
        mine.update(other)
    else:
        mine.subtract(other)


def _pairs(value: Any) -> dict[Any, Any]:
    return dict(value) if value else {}
