"""Counting new events on their grids: DataFrame → DataFrame, in the JVM.

Each event becomes one whole number for each watched column, and these are grouped and counted.
Sums are of integers, so neither the order nor the split of the events matters. :mod:`pegel.streaming.profile.assembly`
puts the sums together to partials.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas import grids
from pegel.schemas.grids import DEFAULT_GRID, Grid, GridColumn
from pegel.schemas.partials import CORRECT, ERRORS, EVENTS, INPUT_TOKENS, LABELLED, OUTPUT_TOKENS
from pegel.streaming.profile.column_sql import cell_of, name_of, on_grid, position_of, q_of, value_of
from pegel.streaming.profile.segments import Segments

Version = tuple[str, str]
"""(model, version)."""

Numbered = Sequence[tuple[int, GridColumn]]
"""The columns of a grid with their places."""

_COUNTERS = {
    EVENTS: "1L",
    ERRORS: "CAST(error_type IS NOT NULL AS BIGINT)",
    INPUT_TOKENS: "coalesce(input_tokens, 0L)",
    OUTPUT_TOKENS: "coalesce(output_tokens, 0L)",
}
COUNTERS = tuple(_COUNTERS)
_COUNTED = tuple(f"{sql} AS {name}" for name, sql in _COUNTERS.items())
"""The general counters; the j-th has the key -1 - j."""

KEYS = 2048
FIRST_CODE = -grids.ABOVE
"""A cell of the i-th column has the key ``i * KEYS + FIRST_CODE`` plus the cell; codes of cells begin at -4."""

PLACE = ("model", "version", "window_start")
WHERE = ("model", "version", "segment", "window_start")
_TIMES = ("first_enqueued", "last_enqueued")
SUMS = (*WHERE, "grid", "key", "name", "n", "q", "q2", *_TIMES)
LABEL_SUMS = (*WHERE, LABELLED, CORRECT, "joined", "waited")


def window_start(time: str, window_seconds: int) -> Column:
    """The start of the window that a time lies in."""
    micros = window_seconds * 1_000_000
    return F.expr(f"timestamp_micros(unix_micros({time}) - pmod(unix_micros({time}), {micros}L))")


def event_sums(
    events: DataFrame, grids_of: Mapping[Version, Grid], segments: Segments, window_seconds: int
) -> DataFrame:
    """What new predictions sum up to.

    Args:
        events: rows of ``predictions``; every one is counted once in the segment ``*``.
        grids_of: the grid of each version that has events here.
        segments: what an event is counted in besides ``*``.
        window_seconds: length of the base windows.

    Returns:
        :data:`SUMS`: of a general counter its sum ``n`` and the first and last enqueued time; of a cell or a name how
        often (``n``) it came, of a cell with the sums of the values on the grid's scale and of their squares. Rows of
        the same place, key and name may be several and add up.
    """
    registered = {version: grid for version, grid in grids_of.items() if grid.grid != DEFAULT_GRID}
    by_grid: dict[str, list[Version]] = {}
    for version, grid in registered.items():
        by_grid.setdefault(grid.grid, []).append(version)
    base = segments.named(events).withColumn("window_start", window_start("event_time", window_seconds))
    place = (*PLACE, *segments.names)
    frames = [_on_grid(base.where(_is_one_of(v)), registered[v[0]], place) for v in by_grid.values()]
    if len(registered) < len(grids_of):
        rest = base.where(~_is_one_of(list(registered))) if registered else base
        frames.append(_on_grid(rest, grids.default_grid(""), place))
    return _by_segment(reduce(DataFrame.union, frames), segments).select(*SUMS)


def label_sums(changes: DataFrame, segments: Segments, window_seconds: int) -> DataFrame:
    """What labels change, in the window and the segments of the prediction that they are about.

    Args:
        changes: see :func:`pegel.streaming.ingest.labels.label_changes`.
        segments: what a prediction is counted in besides ``*``.
        window_seconds: length of the base windows.

    Returns:
        :data:`LABEL_SUMS`.
    """
    base = segments.named(changes).withColumn("window_start", window_start("event_time", window_seconds))
    sums = (F.sum(name).alias(name) for name in LABEL_SUMS[len(WHERE) :])
    groups = _by_segment(base.groupBy(*PLACE, *segments.names).agg(*sums), segments)
    return groups.groupBy(*WHERE).agg(*(F.sum(name).alias(name) for name in LABEL_SUMS[len(WHERE) :]))


def _by_segment(groups: DataFrame, segments: Segments) -> DataFrame:
    """Give the sums of events that lie in the same segments to each of these.

    So an event is counted once, and not once for each of its segments.
    """
    return groups.withColumn("segment", F.explode(segments.of_event()))


def _on_grid(events: DataFrame, grid: Grid, place: Sequence[str]) -> DataFrame:
    numbered = list(enumerate(grid.columns))
    values = events.selectExpr(
        *place, "enqueued_time", *(f"{value_of(column)} AS v{i}" for i, column in numbered), *_COUNTED
    )
    frames = [_counters(values, place), _cells(values, numbered, place), _names(values, numbered, place)]
    groups = reduce(DataFrame.union, (frame for frame in frames if frame is not None))
    return groups.withColumn("grid", F.lit(grid.grid))


def _counters(values: DataFrame, place: Sequence[str]) -> DataFrame:
    sums = [f"sum({name}) AS {name}" for name in COUNTERS]
    times = [f"{of}(enqueued_time) AS {name}" for of, name in zip(("min", "max"), _TIMES, strict=True)]
    groups = values.groupBy(*place).agg(*(F.expr(one) for one in (*sums, *times)))
    counted = ", ".join(f"named_struct('key', {-1 - j}, 'n', {name})" for j, name in enumerate(COUNTERS))
    rows = groups.selectExpr(*place, *_TIMES, f"inline(array({counted}))")
    return rows.selectExpr(*place, *_columns("key", n="n", times=True))


def _cells(values: DataFrame, numbered: Numbered, place: Sequence[str]) -> DataFrame | None:
    """How often each cell came, and the sums of the values in it."""
    numeric = [(i, column) for i, column in numbered if column.kind == grids.NUMERIC]
    if not numeric:
        return None
    positions = (f"{position_of(f'v{i}', column)} AS y{i}" for i, column in numeric)
    rows = values.selectExpr(*place, *(f"v{i}" for i, _ in numeric), *positions)
    cells = ", ".join(
        f"named_struct('key', {_base(i)} + {cell_of(f'v{i}', f'y{i}')}, "
        f"'q', CASE WHEN {on_grid(f'v{i}', f'y{i}')} THEN {q_of(f'v{i}', column)} END)"
        for i, column in numeric
    )
    rows = rows.selectExpr(*place, f"inline(array({cells}))")
    groups = rows.groupBy(*place, "key").agg(
        F.count(F.lit(1)).alias("n"), F.sum("q").alias("q"), F.expr("sum(q * q) AS q2")
    )
    return groups.selectExpr(*place, *_columns("key", n="n", q="q", q2="q2"))


def _names(values: DataFrame, numbered: Numbered, place: Sequence[str]) -> DataFrame | None:
    """How often each name came."""
    categorical = [(i, column) for i, column in numbered if column.kind != grids.NUMERIC]
    if not categorical:
        return None
    named = (f"named_struct('key', {_base(i)}, 'name', {name_of(f'v{i}', column)})" for i, column in categorical)
    rows = values.selectExpr(*place, f"inline(array({', '.join(named)}))")
    groups = rows.groupBy(*place, "key", "name").count()
    return groups.selectExpr(*place, *_columns("key", name="name", n="count"))


def _columns(
    key: str, *, name: str = "NULL", n: str = "NULL", q: str = "NULL", q2: str = "NULL", times: bool = False
) -> list[str]:
    """The columns of :data:`SUMS` that follow a place."""
    values = {"key": f"CAST({key} AS INT)", "name": f"CAST({name} AS STRING)"}
    values |= {column: f"CAST({sql} AS BIGINT)" for column, sql in (("n", n), ("q", q), ("q2", q2))}
    values |= {column: column if times else "CAST(NULL AS TIMESTAMP)" for column in _TIMES}
    return [f"{sql} AS {column}" for column, sql in values.items()]


def _base(i: int) -> int:
    return i * KEYS + FIRST_CODE


def _is_one_of(versions: Sequence[Version]) -> Column:
    return reduce(
        Column.__or__, ((F.col("model") == F.lit(model)) & (F.col("version") == F.lit(v)) for model, v in versions)
    )
