"""Faults that are planted into partials move and add counts, and nothing else."""

import math
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from equipment.watched_stream import GRID, MODEL, START, BatchPlan, Piece, batches_of
from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.grids import CELLS, CELLS_PER_UNIT, HALF_RANGE, GridColumn
from pegel.schemas.partials import BACKFILL, FEEDBACK_KIND, Partial, tally_to_row, total
from pegel.streaming.watch.planted_faults import Fault, FaultKind, plant, shifted

COLUMNS = {column.name: column for column in GRID.columns}
FAULTS = (
    Fault(MODEL, "1", FaultKind.SHIFT, "x", 0.5, 0.4),
    Fault(MODEL, "1", FaultKind.SHARE, "output", 0.2),
    Fault(MODEL, "1", FaultKind.FAILURES, "error_rate", 0.3),
)
cells = st.dictionaries(st.integers(-4, CELLS - 1), st.integers(1, 50), max_size=10)


def partials() -> list[Partial]:
    pieces = (Piece(n=400), Piece(segment="tenant=a", n=90), Piece("2", n=80), Piece("3", n=70))
    return [p for batch in batches_of([BatchPlan(pieces)] * 5) for p in batch.partials]


def planted(partial: Partial, fault: Fault, seed: int = 1) -> Partial:
    return plant(partial, fault, COLUMNS, GRID.grid, seed)


@given(cells, st.floats(-1e6, 1e6))
def test_a_shift_loses_no_value_and_leaves_what_has_no_place(counted: dict[int, int], shift: float) -> None:
    moved = shifted(counted, GridColumn("x", "numeric", "latency_ms", center=3.0, scale=2.0), shift)
    assert moved.total() == sum(counted.values())
    assert all(moved[code] >= n for code, n in counted.items() if code < 0)


@given(cells)
def test_a_shift_of_nothing_moves_nothing(counted: dict[int, int]) -> None:
    assert shifted(counted, COLUMNS["x"], 0.0) == Counter(counted)


@given(st.integers(300, 700), st.floats(-2, 2))
def test_a_shift_moves_a_value_by_just_as_much_to_a_cells_width(cell: int, shift: float) -> None:
    (found,) = shifted({cell: 1}, COLUMNS["x"], shift)
    at, to = (math.sinh((c + 0.5) / CELLS_PER_UNIT - HALF_RANGE) for c in (cell, found))
    width = math.cosh(abs(to) + 1) / CELLS_PER_UNIT
    assert abs(to - at - shift) <= width


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_only_in_live_partials_of_its_version_on_its_grid(fault: Fault) -> None:
    for partial in partials():
        found = planted(partial, fault)
        assert found.tally.n == partial.tally.n
        if partial.version == fault.version:
            assert tally_to_row(found.tally) != tally_to_row(partial.tally)
        else:
            assert found is partial
        for kind in (FEEDBACK_KIND, BACKFILL):
            other = Partial(*(getattr(partial, n) if n != "kind" else kind for n in Partial.__slots__))
            assert planted(other, fault) is other


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_the_same_in_any_order_and_another_with_another_seed(fault: Fault) -> None:
    some = partials()
    once = [tally_to_row(planted(partial, fault).tally) for partial in some]
    shuffled = list(enumerate(some))
    random.Random(3).shuffle(shuffled)
    again = {i: tally_to_row(planted(partial, fault).tally) for i, partial in shuffled}
    assert [again[i] for i in range(len(some))] == once
    if fault.kind is not FaultKind.SHIFT:
        assert [tally_to_row(planted(partial, fault, 2).tally) for partial in some] != once


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_each_segment_and_window_draws_for_itself(fault: Fault) -> None:
    one = partials()[0]
    segments = [replace(one, segment=segment) for segment in ("*", "tenant=a", "tenant=b", "tenant=c")]
    windows = [replace(one, window_start=one.window_start + timedelta(minutes=i)) for i in range(1, 5)]
    for alike in (segments, windows):
        drawn = {str(tally_to_row(planted(partial, fault).tally)) for partial in alike}
        assert len(drawn) > 1, "the same counts, and the same events touched in all of them"


def test_shares_and_failures_are_as_large_as_they_are_asked_for() -> None:
    share, failures = FAULTS[1:]
    plans = [BatchPlan((Piece(n=500),), seconds=10)] * 40
    live = [p for batch in batches_of(plans) for p in batch.partials]
    before = total(p.tally for p in live)
    names = total(planted(p, share).tally for p in live).categories["output"]
    first = max(before.categories["output"], key=lambda name: before.categories["output"][name])
    assert (before.categories["output"][first] - names[first]) / before.n == pytest.approx(0.2, abs=0.015)
    errors = total(planted(p, failures).tally for p in live).counts["errors"] - before.counts["errors"]
    assert errors / (before.n - before.counts["errors"]) == pytest.approx(0.3, abs=0.015)
    assert live[0].window_start < START + timedelta(seconds=10)
