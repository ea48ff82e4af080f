"""Counting stored events on their grids: DataFrame → DataFrame, in the JVM.

Each event becomes a few tokens per segment, one per counter and watched column; tokens are summed, and the sums are put
together to one row per partial. Sums are of integers, so neither the order nor the split of the events matters.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas import grids
from pegel.schemas.grids import DEFAULT_GRID, Grid, GridColumn
from pegel.schemas.partials import CORRECT, ERRORS, EVENTS, FEEDBACK_KIND, INPUT_TOKENS, LABELLED, LIVE, OUTPUT_TOKENS
from pegel.schemas.tables import PROFILES
from pegel.streaming.profile.column_sql import cell_of, name_of, q_of, quoted, value_of

Version = tuple[str, str]
"""(model, version)."""

_COUNTERS = {
    EVENTS: "1L",
    ERRORS: "CAST(error_type IS NOT NULL AS BIGINT)",
    INPUT_TOKENS: "coalesce(input_tokens, 0L)",
    OUTPUT_TOKENS: "coalesce(output_tokens, 0L)",
}
# A token's key: the column's number times _KEYS, plus the cell; codes of cells begin at -4.
_KEYS = 2048
_FIRST_CODE = -grids.ABOVE
_WHERE = ("model", "version", "segment", "window_start")
_TYPES = {column.name: column.type for column in PROFILES.columns}


def window_start(time: str, window_seconds: int) -> Column:
    """The start of the window that a time lies in."""
    micros = window_seconds * 1_000_000
    return F.expr(f"timestamp_micros(unix_micros({time}) - pmod(unix_micros({time}), {micros}L))")


def live_partials(
    events: DataFrame, grids_of: Mapping[Version, Grid], segments: Column, window_seconds: int, max_names: int
) -> DataFrame:
    """The partials of new predictions.

    Args:
        events: rows of ``predictions``; every one is in exactly one partial of the segment ``*``.
        grids_of: the grid of each version that has events here.
        segments: the array of an event's segments.
        window_seconds: length of the base windows.
        max_names: a column whose grid names no categories keeps so many names a partial, the most frequent ones.

    Returns:
        rows of ``profiles`` without ``batch_id``.
    """
    registered = {version: grid for version, grid in grids_of.items() if grid.grid != DEFAULT_GRID}
    by_grid: dict[str, list[Version]] = {}
    for version, grid in registered.items():
        by_grid.setdefault(grid.grid, []).append(version)
    base = events.withColumn("segment", segments).withColumn("window_start", window_start("event_time", window_seconds))
    frames = [
        _on_grid(base.where(_is_one_of(versions)), registered[versions[0]], max_names) for versions in by_grid.values()
    ]
    if len(registered) < len(grids_of):
        rest = base.where(~_is_one_of(list(registered))) if registered else base
        frames.append(_on_grid(rest, grids.default_grid(""), max_names))
    counted = reduce(DataFrame.unionByName, frames)
    return counted.select(*_columns(LIVE, window_seconds, "first_enqueued", "last_enqueued"))


def feedback_partials(changes: DataFrame, segments: Column, window_seconds: int) -> DataFrame:
    """The partials of labels: in the window and the segments of the prediction that they are about.

    Args:
        changes: see :func:`pegel.streaming.ingest.labels.label_changes`.
        segments: the array of a prediction's segments.
        window_seconds: length of the base windows.

    Returns:
        rows of ``profiles`` without ``batch_id``, ``grid`` empty; with ``joined`` and ``waited`` of ``changes`` summed.
    """
    rows = changes.select(
        "model",
        "version",
        F.explode(segments).alias("segment"),
        window_start("event_time", window_seconds).alias("window_start"),
        *(LABELLED, CORRECT, "joined", "waited"),
    )
    sums = (F.sum(name).alias(name) for name in (LABELLED, CORRECT, "joined", "waited"))
    counted = rows.groupBy(*_WHERE).agg(*sums)
    counts = F.expr(f"map_filter(map('{LABELLED}', {LABELLED}, '{CORRECT}', {CORRECT}), (k, v) -> v <> 0) AS counts")
    counted = counted.select(*_WHERE, "joined", "waited", counts).selectExpr(
        "*", "'' AS grid", f"CAST(map() AS {_TYPES['numeric']}) AS numeric",
        f"CAST(map() AS {_TYPES['categorical']}) AS categorical",
    )  # fmt: skip
    none = "CAST(NULL AS TIMESTAMP)"
    return counted.select(*_columns(FEEDBACK_KIND, window_seconds, none, none), "joined", "waited")


def _on_grid(events: DataFrame, grid: Grid, max_names: int) -> DataFrame:
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
    summed = rows.groupBy(*_WHERE, "key", "name").agg(
        F.sum("n").alias("n"),
        F.sum("q").alias("q"),
        F.expr("sum(q * q) AS q2"),
        F.min("enqueued_time").alias("first_enqueued"),
        F.max("enqueued_time").alias("last_enqueued"),
    )
    return _put_together(summed, numbered, max_names).withColumn("grid", F.lit(grid.grid))


def _put_together(summed: DataFrame, numbered: Sequence[tuple[int, GridColumn]], max_names: int) -> DataFrame:
    numeric = [(i, column) for i, column in numbered if column.kind == grids.NUMERIC]
    categorical = [(i, column) for i, column in numbered if column.kind != grids.NUMERIC]
    entries = [_entries(i, "name" if column.kind != grids.NUMERIC else f"key - {_base(i)}") for i, column in numbered]
    sums = [_sum(f"q{power}", i) for i, _ in numeric for power in ("", "2")]
    counters = [f"sum(CASE WHEN key = {-1 - j} THEN n END) AS {name}" for j, name in enumerate(_COUNTERS)]
    rows = summed.groupBy(*_WHERE).agg(
        *(F.expr(sql) for sql in (*counters, *entries, *sums)),
        F.min("first_enqueued").alias("first_enqueued"),
        F.max("last_enqueued").alias("last_enqueued"),
    )
    counts = ", ".join(f"'{name}', {name}" for name in _COUNTERS)
    return rows.selectExpr(
        *_WHERE,
        "first_enqueued",
        "last_enqueued",
        f"map_filter(map({counts}), (k, v) -> v <> 0) AS counts",
        f"{_map([(c.name, _numeric_sql(i)) for i, c in numeric], 'numeric')} AS numeric",
        f"{_map([(c.name, _names_sql(i, c, max_names)) for i, c in categorical], 'categorical')} AS categorical",
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
    return i * _KEYS + _FIRST_CODE


def _is_of(i: int, first: int = 0) -> str:
    return f"key BETWEEN {i * _KEYS + first} AND {i * _KEYS + _KEYS - 1}"


def _entries(i: int, key: str) -> str:
    entry = f"CASE WHEN {_is_of(i)} THEN named_struct('key', {key}, 'value', n) END"
    return f"array_sort(collect_list({entry})) AS e{i}"


def _sum(name: str, i: int) -> str:
    return f"coalesce(sum(CASE WHEN {_is_of(i, _FIRST_CODE)} THEN {name} END), 0L) AS {name}_{i}"


def _numeric_sql(i: int) -> str:
    return f"named_struct('cells', map_from_entries(e{i}), 'sum_q', q_{i}, 'sum_q2', q2_{i})"


def _names_sql(i: int, column: GridColumn, max_names: int) -> str:
    if column.categories:
        return f"map_from_entries(e{i})"
    # Where every name counts, only the most frequent are kept; the rest joins the others, so that the total stays.
    special = f"x.key IN ('{grids.MISSING_NAME}', '{grids.OTHER_NAME}')"
    ranked = (
        f"array_sort(filter(e{i}, x -> NOT {special}), (a, b) -> CASE WHEN a.value <> b.value "
        "THEN CAST(signum(b.value - a.value) AS INT) WHEN a.key < b.key THEN -1 WHEN a.key > b.key THEN 1 ELSE 0 END)"
    )
    kept = f"slice({ranked}, 1, {max_names})"
    names = f"transform({kept}, x -> x.key)"
    rest = (
        f"aggregate(filter(e{i}, x -> x.key <> '{grids.MISSING_NAME}' AND NOT array_contains({names}, x.key)), "
        "0L, (total, x) -> total + x.value)"
    )
    whole = (
        f"concat({kept}, filter(e{i}, x -> x.key = '{grids.MISSING_NAME}'), "
        f"array(named_struct('key', '{grids.OTHER_NAME}', 'value', {rest})))"
    )
    return f"map_filter(map_from_entries({whole}), (k, v) -> v <> 0)"


def _map(entries: Sequence[tuple[str, str]], name: str) -> str:
    inner = ", ".join(f"{quoted(column)}, {sql}" for column, sql in entries)
    return f"CAST(map({inner}) AS {_TYPES[name]})"


def _columns(kind: str, window_seconds: int, first: str, last: str) -> list[Column]:
    sql = {
        "window_s": str(window_seconds),
        "kind": f"'{kind}'",
        "first_enqueued": first,
        "last_enqueued": last,
    }
    return [F.expr(f"{sql.get(n, n)} AS {n}") for n in PROFILES.names if n != "batch_id"]


def _is_one_of(versions: Sequence[Version]) -> Column:
    return reduce(
        Column.__or__, ((F.col("model") == F.lit(model)) & (F.col("version") == F.lit(v)) for model, v in versions)
    )
