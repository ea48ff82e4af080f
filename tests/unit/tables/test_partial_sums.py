"""Adding rows of ``profiles`` up: the columns of Arrow give what addition one by one gives, to the unit."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.schemas.partials import Tally, tally_from_row, tally_to_row, total
from pegel.schemas.tables import PROFILES
from pegel.tables.partial_sums import add_up

START = datetime(2026, 11, 25, 2, 59, 30, tzinfo=UTC)
Row = dict[str, Any]

numbers = st.integers(-3, 3) | st.integers(-(2**40), 2**40)
texts = st.sampled_from(("", "a", "b", "größe", "__other__"))
tallies = st.builds(
    Tally,
    st.dictionaries(texts, numbers, max_size=3).map(Counter),
    st.dictionaries(texts, st.dictionaries(st.integers(-4, 6), numbers, max_size=4).map(Counter), max_size=3),
    st.fixed_dictionaries({name: st.tuples(numbers, numbers) for name in ("", "a", "b", "größe", "__other__")}),
    st.dictionaries(texts, st.dictionaries(texts, numbers, max_size=3).map(Counter), max_size=3),
)
times = st.none() | st.integers(0, 300).map(lambda s: START + timedelta(seconds=s))


@st.composite
def partials(draw: st.DrawFn) -> Row:
    length = draw(st.sampled_from((10, 10, 20, 7, 60, 120)))
    since = int(START.timestamp()) + draw(st.integers(0, 200))
    return {
        "model": draw(st.sampled_from(("m", "n"))),
        "version": draw(st.sampled_from(("1", "2"))),
        "segment": draw(st.sampled_from(("*", "country=de"))),
        "window_start": datetime.fromtimestamp(since - since % length, UTC),
        "window_s": length,
        "grid": draw(st.sampled_from(("default", "g"))),
        "batch_id": draw(st.integers(0, 2 * 10**9)),
        "kind": draw(st.sampled_from(("live", "feedback", "backfill"))),
        "first_enqueued": draw(times),
        "last_enqueued": draw(times),
        **tally_to_row(draw(tallies)),
    }


def table_of(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=PROFILES.arrow_schema)


def rows_of(table: pa.Table) -> list[Row]:
    return table.to_pylist(maps_as_pydicts="strict")


def key_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in PROFILES.key if name != "batch_id")


def written_key(row: Row) -> tuple[str, ...]:
    return tuple(map(str, key_of(row)))


def minute_of(row: Row) -> Row:
    length = row["window_s"] if 60 % row["window_s"] else 60
    since = int(row["window_start"].timestamp())
    return row | {"window_start": datetime.fromtimestamp(since - since % length, UTC), "window_s": length}


def added_one_by_one(rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in map(minute_of, rows):
        groups[key_of(row)].append(row)
    return {
        key: {
            **{name: group[0][name] for name in PROFILES.key},
            "batch_id": max(row["batch_id"] for row in group),
            "first_enqueued": min((r["first_enqueued"] for r in group if r["first_enqueued"]), default=None),
            "last_enqueued": max((r["last_enqueued"] for r in group if r["last_enqueued"]), default=None),
            **tally_to_row(total(tally_from_row(row) for row in group)),
        }
        for key, group in groups.items()
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(partials(), max_size=12))
def test_a_sum_is_that_of_its_rows_added_one_by_one(rows: list[Row]) -> None:
    summed = rows_of(add_up(table_of(rows)))
    assert {key_of(row): row for row in summed} == added_one_by_one(rows)
    assert len({key_of(row) for row in summed}) == len(summed)
    assert [row["window_start"] for row in summed] == sorted(row["window_start"] for row in summed)


@settings(max_examples=25, deadline=None)
@given(st.lists(partials(), min_size=1, max_size=10), st.data())
def test_sums_of_sums_are_the_sum_however_the_rows_are_parted_and_cut(rows: list[Row], data: st.DataObject) -> None:
    once = add_up(table_of(rows))
    cut = data.draw(st.integers(0, len(rows)))
    ordered = data.draw(st.permutations(rows))
    # Chunks and slices must not matter: tables are read in pieces.
    parts = pa.concat_tables([add_up(table_of(ordered[:cut])), add_up(table_of([*ordered, ordered[0]])[cut:-1])])
    assert sorted(rows_of(add_up(parts)), key=written_key) == sorted(rows_of(once), key=written_key)
    assert add_up(once).num_rows == once.num_rows
