"""Two sources of rows, compared column by column. Wiring: reading, cutting, statistics and verdicts."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pegel.errors import SettingsError
from pegel.schemas.comparison import ComparedNumber, ComparisonVerdict, Metric
from pegel.streaming.statistics.chunks import Chunk, chunks_by_size, chunks_by_time
from pegel.streaming.statistics.column_comparison import CountedColumn, Measured, NumericColumn
from pegel.streaming.statistics.comparison_verdicts import MINIMUM_EFFECT, verdicts
from pegel.streaming.statistics.dispersion import MIN_GROUPS
from pegel.tables.column_source import ColumnSource, column_of
from pegel.tables.column_values import ColumnKind, codes_of, floats_of, kind_of, microseconds_of

log = logging.getLogger(__name__)

Order = npt.NDArray[np.int64] | slice

_THREADS = 2
"""Sorting and reading let go of the interpreter; more threads would hold more columns in memory."""


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What to compare and how.

    Attributes:
        columns: their names; all that both sides have, if none is given.
        metrics: at least one.
        chunk_rows: current rows are cut into chunks of so many; 0 for no cut.
        period: or into chunks of so many microseconds; 0 for no cut.
        time_column: by which rows are put in order; '' for the order that they have.
        minimum_effect: smaller shifts do not matter, in standard deviations of the baseline.
    """

    columns: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = tuple(Metric)
    chunk_rows: int = 0
    period: int = 0
    time_column: str = ""
    minimum_effect: float = MINIMUM_EFFECT


def compare(baseline: ColumnSource, current: ColumnSource, plan: ComparisonPlan) -> list[ComparedNumber]:
    """Compare, and judge all numbers together.

    Returns:
        by chunk, column and metric.

    Raises:
        SettingsError: if a column is missing or has another kind on the other side, or nothing can be compared.
    """
    columns = _choose_columns(baseline, current, plan)
    order, chunks = _cut(current, plan)
    rows = sorted(chunk.last - chunk.first for chunk in chunks if chunk.last > chunk.first)
    block = rows[len(rows) // 2] if rows else 0
    spread = 0 < block <= baseline.rows // MIN_GROUPS
    sides = _Sides(
        _Side(baseline, _order(baseline, plan.time_column)[0] if spread and plan.time_column else slice(None)),
        _Side(current, order),
        block if spread else 0,
        [(chunk.first, chunk.last) for chunk in chunks],
        plan.metrics,
    )
    with ThreadPoolExecutor(_THREADS) as pool:
        by_column = dict(zip(columns, pool.map(sides.compare, columns, columns.values()), strict=True))
    measured = [(i, name, one) for i in range(len(chunks)) for name in columns for one in by_column[name][i]]
    if not measured:
        msg = f"{', '.join(plan.metrics)} need numbers, and no column has any; name other --metrics or --columns"
        raise SettingsError(msg)
    judged = verdicts(measured, minimum_effect=plan.minimum_effect)
    return [_number(i, chunks[i], name, one, verdict) for (i, name, one), verdict in zip(measured, judged, strict=True)]


@dataclass(frozen=True, slots=True)
class _Side:
    source: ColumnSource
    order: Order

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        return floats_of(column_of(self.source, name))[self.order]


@dataclass(frozen=True, slots=True)
class _Sides:
    baseline: _Side
    current: _Side
    block: int
    cuts: Sequence[tuple[int, int]]
    metrics: tuple[Metric, ...]

    def compare(self, name: str, kind: ColumnKind) -> list[list[Measured]]:
        """What each chunk of a column says."""
        return self._numbers(name) if kind is ColumnKind.NUMERIC else self._codes(name)

    def _numbers(self, name: str) -> list[list[Measured]]:
        column = NumericColumn(self.baseline.numbers(name), self.block, self.metrics)
        values = self.current.numbers(name)
        return [column.compare(values[first:last]) for first, last in self.cuts]

    def _codes(self, name: str) -> list[list[Measured]]:
        codes = codes_of(column_of(self.baseline.source, name), column_of(self.current.source, name))
        before, now = codes.baseline[self.baseline.order], codes.current[self.current.order]

        def count(side: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            return np.bincount(side, minlength=codes.size)

        blocks = [count(before[i : i + self.block]) for i in _starts(before.size, self.block)]
        column = CountedColumn(count(before), np.array(blocks, dtype=np.int64).reshape(len(blocks), codes.size))
        return [column.compare(count(now[first:last]), self.metrics) for first, last in self.cuts]


def _starts(rows: int, block: int) -> range:
    return range(0, rows - block + 1, block) if block else range(0)


def _choose_columns(baseline: ColumnSource, current: ColumnSource, plan: ComparisonPlan) -> dict[str, ColumnKind]:
    both = [name for name in baseline.schema.names if name in current.schema.names]
    names = plan.columns or tuple(name for name in both if name != plan.time_column)
    chosen: dict[str, ColumnKind] = {}
    for name in dict.fromkeys(names):
        kind = _common_kind(baseline, current, name)
        if kind is not ColumnKind.OTHER:
            chosen[name] = kind
        elif plan.columns:
            msg = f"the column {name!r} is neither number, text nor boolean, so it cannot be compared; leave it out"
            raise SettingsError(msg)
        else:
            log.warning("the column %r is neither number, text nor boolean and is left out", name)
    only = sorted(set(baseline.schema.names) ^ set(current.schema.names))
    if only and not plan.columns:
        log.warning("only one of both has %s: left out", ", ".join(map(repr, only)))
    if not chosen:
        msg = f"{baseline.name} and {current.name} have no column in common that can be compared; check their names"
        raise SettingsError(msg)
    return chosen


def _common_kind(baseline: ColumnSource, current: ColumnSource, name: str) -> ColumnKind:
    kinds = []
    for source in (baseline, current):
        # A column that is not there is refused with the nearest name.
        kinds.append(kind_of(source.schema.field(name).type if name in source.schema.names else _refuse(source, name)))
    known = [kind for kind in kinds if kind is not ColumnKind.EMPTY]
    if len(set(known)) > 1:
        msg = (
            f"the column {name!r} is {kinds[0]} in {baseline.name} and {kinds[1]} in {current.name}; "
            "give both the same type, or name the --columns to compare"
        )
        raise SettingsError(msg)
    return known[0] if known else ColumnKind.COUNTED


def _refuse(source: ColumnSource, name: str) -> pa.DataType:
    return column_of(source, name).type


def _cut(current: ColumnSource, plan: ComparisonPlan) -> tuple[Order, list[Chunk]]:
    if not plan.time_column:
        return slice(None), chunks_by_size(current.rows, plan.chunk_rows or max(current.rows, 1))
    order, times = _order(current, plan.time_column)
    if plan.period:
        return order, chunks_by_time(times, plan.period)
    return order, chunks_by_size(times.size, plan.chunk_rows or max(times.size, 1), times)


def _order(source: ColumnSource, name: str) -> tuple[Order, npt.NDArray[np.int64]]:
    """In which order rows follow each other in time, and these times; rows without one are left out."""
    times = microseconds_of(column_of(source, name))
    if times is None:
        msg = f"the column {name!r} of {source.name} holds no times; name one with dates, timestamps or ISO 8601 texts"
        raise SettingsError(msg)
    known = np.flatnonzero(times.is_valid().to_numpy())
    if known.size < len(times):
        log.warning("%d rows of %s have no %s and are left out", len(times) - known.size, source.name, name)
    values = times.drop_null().to_numpy()
    if known.size == len(times) and bool(np.all(values[1:] >= values[:-1])):
        return slice(None), values
    rank = np.argsort(values, kind="stable")
    return known[rank], values[rank]


def _number(i: int, chunk: Chunk, name: str, one: Measured, verdict: ComparisonVerdict) -> ComparedNumber:
    return ComparedNumber(
        chunk=i,
        chunk_start=chunk.start,
        chunk_end=chunk.end,
        column=name,
        metric=one.metric,
        value=one.value,
        n=one.n,
        p_value=one.p_value,
        effect=one.effect,
        verdict=verdict,
        calibrated=one.calibrated,
    )
