"""Counting new events on their grids: DataFrame → DataFrame, in the JVM.

Each event becomes a few tokens per segment, one per counter and watched column, and tokens are summed.
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
from pegel.streaming.profile.column_sql import cell_of, name_of, q_of, value_of

Version = tuple[str, str]
"""(model, version)."""

_COUNTERS = {
    EVENTS: "1L",
    ERRORS: "CAST(error_type IS NOT NULL AS BIGINT)",
    INPUT_TOKENS: "coalesce(input_tokens, 0L)",
    OUTPUT_TOKENS: "coalesce(output_tokens, 0L)",
}
COUNTERS = tuple(_COUNTERS)
"""The general counters; the token of the j-th has the key -1 - j."""

KEYS = 2048
FIRST_CODE = -grids.ABOVE
"""The token of the i-th column has the key ``i * KEYS + FIRST_CODE`` plus the cell; codes of cells begin at -4."""

WHERE = ("model", "version", "segment", "window_start")
SUMS = (*WHERE, "grid", "key", "name", "n", "q", "q2", "first_enqueued", "last_enqueued")
LABEL_SUMS = (*WHERE, LABELLED, CORRECT, "joined", "waited")


def window_start(time: str, window_seconds: int) -> Column:
    """The start of the window that a time lies in."""
    micros = window_seconds * 1_000_000
    return F.expr(f"timestamp_micros(unix_micros({time}) - pmod(unix_micros({time}), {micros}L))")


def event_sums(events: DataFrame, grids_of: Mapping[Version, Grid], segments: Column, window_seconds: int) -> DataFrame:
    """The summed tokens of new predictions.

    Args:
        events: rows of ``predictions``; every one is counted once in the segment ``*``.
        grids_of: the grid of each version that has events here.
        segments: the array of an event's segments.
        window_seconds: length of the base windows.

    Returns:
        :data:`SUMS`: how often (``n``) a key and, of a category, a name came within a window and segment, with the sums
        of the values on the grid's scale and of their squares.
    """
    registered = {version: grid for version, grid in grids_of.items() if grid.grid != DEFAULT_GRID}
    by_grid: dict[str, list[Version]] = {}
    for version, grid in registered.items():
        by_grid.setdefault(grid.grid, []).append(version)
    base = events.withColumn("segment", segments).withColumn("window_start", window_start("event_time", window_seconds))
    frames = [_on_grid(base.where(_is_one_of(versions)), registered[versions[0]]) for versions in by_grid.values()]
    if len(registered) < len(grids_of):
        rest = base.where(~_is_one_of(list(registered))) if registered else base
        frames.append(_on_grid(rest, grids.default_grid("")))
    return reduce(DataFrame.union, frames)


def label_sums(changes: DataFrame, segments: Column, window_seconds: int) -> DataFrame:
    """What labels change, in the window and the segments of the prediction that they are about.

    Args:
        changes: see :func:`pegel.streaming.ingest.labels.label_changes`.
        segments: the array of a prediction's segments.
        window_seconds: length of the base windows.

    Returns:
        :data:`LABEL_SUMS`.
    """
    rows = changes.select(
        "model",
        "version",
        F.explode(segments).alias("segment"),
        window_start("event_time", window_seconds).alias("window_start"),
        *LABEL_SUMS[len(WHERE) :],
    )
    return rows.groupBy(*WHERE).agg(*(F.sum(name).alias(name) for name in LABEL_SUMS[len(WHERE) :]))


def _on_grid(events: DataFrame, grid: Grid) -> DataFrame:
    numbered = list(enumerate(grid.columns))
    kept = ["model", "version", "segment", "window_start", "enqueued_time"]
    counters = [f"{sql} AS {name}" for name, sql in _COUNTERS.items()]
    rows = events.selectExpr(*kept, *counters, *(f"{value_of(column)} AS v{i}" for i, column in numbered))
    rows = rows.selectExpr(
        *kept, *_COUNTERS, *(_counted_under(i, column) for i, column in numbered), *_values(numbered)
    )
    tokens = ", ".join([*_counter_tokens(), *(_token(i, column) for i, column in numbered)])
    rows = rows.selectExpr(*kept, f"array({tokens}) AS tokens")
    rows = rows.withColumn("segment", F.explode("segment")).selectExpr(*kept, "inline(tokens)")
    return (
        rows.groupBy(*WHERE, F.lit(grid.grid).alias("grid"), "key", "name")
        .agg(
            F.sum("n").alias("n"),
            F.sum("q").alias("q"),
            F.expr("sum(q * q) AS q2"),
            F.min("enqueued_time").alias("first_enqueued"),
            F.max("enqueued_time").alias("last_enqueued"),
        )
        .select(*SUMS)
    )


def _counted_under(i: int, column: GridColumn) -> str:
    return f"{cell_of(f'v{i}', column) if column.kind == grids.NUMERIC else name_of(f'v{i}', column)} AS c{i}"


def _values(numbered: Sequence[tuple[int, GridColumn]]) -> list[str]:
    return [f"v{i}" for i, column in numbered if column.kind == grids.NUMERIC]


def _counter_tokens() -> list[str]:
    return [_struct(str(-1 - j), "NULL", name, "NULL") for j, name in enumerate(_COUNTERS)]


def _token(i: int, column: GridColumn) -> str:
    if column.kind != grids.NUMERIC:
        return _struct(str(_base(i)), f"c{i}", "1L", "NULL")
    return _struct(f"{_base(i)} + c{i}", "NULL", "1L", f"CASE WHEN c{i} >= 0 THEN {q_of(f'v{i}', column)} END")


def _struct(key: str, name: str, n: str, q: str) -> str:
    return (
        f"named_struct('key', CAST({key} AS INT), 'name', CAST({name} AS STRING), 'n', {n}, 'q', CAST({q} AS BIGINT))"
    )


def _base(i: int) -> int:
    return i * KEYS + FIRST_CODE


def _is_one_of(versions: Sequence[Version]) -> Column:
    return reduce(
        Column.__or__, ((F.col("model") == F.lit(model)) & (F.col("version") == F.lit(v)) for model, v in versions)
    )
