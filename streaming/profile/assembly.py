"""From summed tokens to partials. Pure: Arrow → records.

The rows here are sums: their number grows with windows, segments and cells that are used, not with events.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from pegel.schemas import grids
from pegel.schemas.grids import Grid
from pegel.schemas.partials import CORRECT, FEEDBACK_KIND, LABELLED, LIVE, Partial, Tally
from pegel.streaming.profile.counting import COUNTERS, FIRST_CODE, KEYS, SUMS, WHERE, Version


def event_partials(
    sums: pa.Table, grid_of: Mapping[str, Grid], window_seconds: int, max_names: int, batch_id: int, *, kind: str
) -> list[Partial]:
    """The partials of new predictions.

    Args:
        sums: see :func:`pegel.streaming.profile.counting.event_sums`.
        grid_of: id -> grid.
        window_seconds: length of the base windows.
        max_names: a column whose grid names no categories keeps so many names a partial, the most frequent ones.
        batch_id: of the micro-batch.
        kind: ``live`` or ``backfill``. What is not live has no enqueued times, since it belongs to no block.
    """
    tallies: dict[tuple[Any, ...], Tally] = defaultdict(Tally)
    enqueued: dict[tuple[Any, ...], tuple[datetime | None, datetime | None]] = {}
    for *where, grid, key, name, n, q, q2, first, last in _rows(_added(sums), SUMS):
        place = (*where, grid)
        tally = tallies[place]
        if key < 0:
            tally.counts[COUNTERS[-1 - key]] = n
            # Every event has these counters, so their times are those of all events.
            enqueued[place] = (first, last) if kind == LIVE else (None, None)
            continue
        number, code = divmod(key, KEYS)
        column = grid_of[grid].columns[number]
        if column.kind == grids.NUMERIC:
            tally.cells.setdefault(column.name, Counter())[code - FIRST_CODE] = n
            old = tally.sums.get(column.name, (0, 0))
            tally.sums[column.name] = (old[0] + (q or 0), old[1] + (q2 or 0))
        else:
            tally.categories.setdefault(column.name, Counter())[name] = n
    for (*_, grid), tally in tallies.items():
        for column in grid_of[grid].columns:
            if column.kind != grids.NUMERIC and not column.categories:
                tally.categories[column.name] = most_frequent(tally.categories[column.name], max_names)
    return [
        Partial(model, version, segment, start, window_seconds, grid, batch_id, kind, *enqueued[place], tally)
        for place, tally in tallies.items()
        for model, version, segment, start, grid in [place]
    ]


def label_partials(
    sums: pa.Table,
    grids_of: Callable[[Collection[Version]], Mapping[Version, Grid]],
    window_seconds: int,
    batch_id: int,
) -> list[Partial]:
    """The partials of labels; none where they change nothing.

    Args:
        sums: see :func:`pegel.streaming.profile.counting.label_sums`.
        grids_of: gives the grid of each version.
        window_seconds: length of the base windows.
        batch_id: of the micro-batch.
    """
    rows = list(_rows(sums, (*WHERE, LABELLED, CORRECT)))
    grid_of = grids_of({(model, version) for model, version, *_ in rows})
    return [
        Partial(
            *(model, version, segment, start, window_seconds, grid_of[model, version].grid, batch_id, FEEDBACK_KIND),
            *(None, None, Tally(Counter({LABELLED: labelled, CORRECT: correct}))),
        )
        for model, version, segment, start, labelled, correct in rows
        if labelled or correct
    ]


def most_frequent(names: Counter[str], at_most: int) -> Counter[str]:
    """The most frequent names, ties by name; the rest joins the others, so that the total stays.

    Example:
        >>> most_frequent(Counter(a=1, b=2, c=1, __missing__=4), 2)
        Counter({'__missing__': 4, 'b': 2, 'a': 1, '__other__': 1})
    """
    special = {grids.MISSING_NAME, grids.OTHER_NAME}
    ranked = sorted((name for name in names if name not in special), key=lambda name: (-names[name], name))
    kept = Counter({name: names[name] for name in (*ranked[:at_most], grids.MISSING_NAME) if names[name]})
    if rest := names.total() - kept.total():
        kept[grids.OTHER_NAME] = rest
    return kept


def _added(sums: pa.Table) -> pa.Table:
    """One row for each place, key and name."""
    keys = [*WHERE, "grid", "key", "name"]
    how = {"n": "sum", "q": "sum", "q2": "sum", "first_enqueued": "min", "last_enqueued": "max"}
    added = sums.group_by(keys).aggregate(list(how.items()))
    return added.rename_columns({f"{name}_{function}": name for name, function in how.items()})


def _rows(table: pa.Table, columns: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[column].to_pylist() for column in columns), strict=True)
