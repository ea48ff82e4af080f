from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.grids import CATEGORICAL, MISSING_NAME, NUMERIC, OTHER_NAME, GridColumn, make_grid
from pegel.schemas.partials import BACKFILL, ERRORS, EVENTS, LIVE, Partial, Tally, partial_from_row, partial_to_row
from pegel.streaming.profile.assembly import event_partials, label_partials, most_frequent
from pegel.streaming.profile.counting import COUNTERS, FIRST_CODE, KEYS, LABEL_SUMS, SUMS

START = datetime(2026, 11, 25, tzinfo=UTC)
GRID = make_grid("m", [GridColumn("x", NUMERIC, "features.x"), GridColumn("kind", CATEGORICAL, "features.kind")])


def sums_of(*rows: tuple[object, ...]) -> pa.Table:
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(SUMS)})


def test_sums_become_one_partial_for_each_window_and_segment() -> None:
    later = START + timedelta(seconds=2)
    where = ("m", "1", "*", START, GRID.grid)
    rows = sums_of(
        (*where, FIRST_CODE + 512, None, 2, 30, 500, later, later),
        (*where, FIRST_CODE - 1, None, 1, None, None, START, START),
        (*where, KEYS + FIRST_CODE, "a", 3, None, None, later, later),
        (*where, -1 - COUNTERS.index(EVENTS), None, 3, None, None, START, later),
        (*where, -1 - COUNTERS.index(ERRORS), None, 0, None, None, START, later),
    )
    tally = Tally(Counter(events=3), {"x": Counter({512: 2, -1: 1})}, {"x": (30, 500)}, {"kind": Counter(a=3)})
    expected = Partial("m", "1", "*", START, 10, GRID.grid, 7, LIVE, START, later, tally)
    assert event_partials(rows, {GRID.grid: GRID}, 10, 5, 7, kind=LIVE) == [expected]
    old = replace(expected, kind=BACKFILL, first_enqueued=None, last_enqueued=None)
    assert event_partials(rows, {GRID.grid: GRID}, 10, 5, 7, kind=BACKFILL) == [old]
    assert partial_from_row(partial_to_row(expected)) == expected


def test_labels_that_change_nothing_give_no_partial() -> None:
    rows = [
        ("m", "1", "*", START, 1, 0, 1, 0),
        ("m", "1", "a=b", START, 0, -1, 1, 0),
        ("m", "2", "*", START, 0, 0, 1, 0),
    ]
    sums = pa.table({name: [row[i] for row in rows] for i, name in enumerate(LABEL_SUMS)})
    found = label_partials(sums, lambda versions: dict.fromkeys(versions, GRID), 10, 7)
    assert [(p.segment, p.tally.counts) for p in found] == [("*", Counter(labelled=1)), ("a=b", Counter(correct=-1))]


names = st.dictionaries(st.sampled_from([*"abcdef", MISSING_NAME, OTHER_NAME]), st.integers(1, 9), max_size=8).map(
    Counter
)


@given(names, st.integers(1, 6))
def test_the_most_frequent_names_stay_and_the_total_too(found: Counter[str], at_most: int) -> None:
    kept = most_frequent(found, at_most)
    own = {name for name in kept if name not in {MISSING_NAME, OTHER_NAME}}
    dropped = set(found) - set(kept) - {OTHER_NAME}
    assert kept.total() == found.total()
    assert kept[MISSING_NAME] == found[MISSING_NAME]
    assert len(own) <= at_most
    assert all(kept[name] == found[name] for name in own)
    assert all((-found[a], a) < (-found[b], b) for a in own for b in dropped)
