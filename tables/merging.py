"""Partials of micro-batches that nobody replays any more become one row for each minute and key. Edge.

This changes rows, in one commit that takes the old ones away and brings the sums: whoever reads finds either. It may
be done beside the stream, which only appends rows of higher micro-batches; see :mod:`pegel.tables.delta` for how its
appends bear that. The commit says up to which micro-batch all rows are sums, which is how readers know.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from tempfile import TemporaryFile

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction, write_deltalake

from pegel.errors import ContractError
from pegel.schemas.partials import MERGED_SECONDS
from pegel.schemas.tables import PROFILES
from pegel.tables.delta import COMPACT_BYTES, DeltaTables
from pegel.tables.owned import OwnedTables
from pegel.tables.partial_sums import add_up

ROWS_AT_A_TIME = 20_000
MAX_SPANS = 32

MERGED_BY = "maintain/merged"
"""The application whose transactions on ``profiles`` say up to which micro-batch all rows are sums."""

_NAME = PROFILES.name
_SMALL = pa.ipc.IpcWriteOptions(compression="zstd")
_MINUTE = f"arrow_cast(window_start, 'Int64') / {MERGED_SECONDS * 1_000_000}"

Span = tuple[int, int]
"""Minutes since 1970, both ends inclusive."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What was added up.

    Attributes:
        up_to: the highest micro-batch of which all rows are sums now; -1 if there is none.
        rows_before: rows that were taken, those included that were sums already.
        rows_after: rows that they became.
    """

    up_to: int
    rows_before: int = 0
    rows_after: int = 0


def merged_up_to(tables: DeltaTables) -> int:
    """The highest micro-batch whose rows of ``profiles`` are sums, as are those of all before it; -1 if there is none.

    Raises:
        OutsideError: if the storage fails.
    """
    return tables.last_transaction(_NAME, MERGED_BY)


class MergingTables(OwnedTables):
    """The tables below one ``storage.root``, for whoever adds partials up."""

    def merge(self, up_to: int, rows_at_a_time: int = ROWS_AT_A_TIME) -> Merged:
        """Add up what micro-batches left, up to and with ``up_to``: one row for each minute and key.

        Minutes that have been added up before and got more since are added up again. Done again it changes nothing.

        Args:
            up_to: a micro-batch; whoever needs the partials of a single one must not need this one or any before.
            rows_at_a_time: about how many rows are held in memory.

        Raises:
            ContractError: if the table has other columns than this version knows: some would be lost.
            OutsideError: if the storage fails, or somebody else put files of the table together or added up meanwhile;
                the rows are as they were.
        """
        done = merged_up_to(self)
        if up_to <= done:
            return Merged(done)
        with self._asking("add up", _NAME):
            there = DeltaTable(self.uri(_NAME), storage_options=self._options())
            _refuse_other_columns(there)
            touched = f"batch_id > {done} AND batch_id <= {up_to}"
            spans = spans_of(row["minute"] for row in _minutes(there, touched))
            if not spans:
                return Merged(done)
            where = f"batch_id <= {up_to} AND ({' OR '.join(map(_within, spans))})"
            sums = _Sums(there, where, rows_at_a_time)
            # Beside, and not while it is written: deltalake cannot be asked by what it reads from.
            with TemporaryFile() as beside:
                with pa.ipc.new_stream(beside, PROFILES.arrow_schema, options=_SMALL) as stream:
                    for table in sums.tables():
                        stream.write_table(table)
                beside.seek(0)
                write_deltalake(
                    there,
                    pa.ipc.open_stream(beside),
                    mode="overwrite",
                    predicate=where,
                    target_file_size=COMPACT_BYTES,
                    commit_properties=CommitProperties(app_transactions=[Transaction(MERGED_BY, up_to)]),
                )
        return Merged(up_to, sums.rows_before, sums.rows_after)


class _Sums:
    """The sums of rows of one version of the table, so many rows at a time, in order of the minutes."""

    def __init__(self, there: DeltaTable, where: str, rows_at_a_time: int) -> None:
        self._there = there
        self._where = where
        self._rows_at_a_time = rows_at_a_time
        self.rows_before = 0
        self.rows_after = 0

    def tables(self) -> Iterator[pa.Table]:
        for first, last in self._slices():
            rows = _asked(self._there, f"SELECT * FROM t WHERE {self._where} AND {_within((first, last))}")
            sums = add_up(rows)
            self.rows_before += rows.num_rows
            self.rows_after += sums.num_rows
            yield sums

    def _slices(self) -> Iterator[Span]:
        first, last, held = 0, 0, 0
        for row in _minutes(self._there, self._where):
            if held and held + row["n"] > self._rows_at_a_time:
                yield first, last
                held = 0
            first = first if held else row["minute"]
            last, held = row["minute"], held + row["n"]
        if held:
            yield first, last


def spans_of(minutes: Iterable[int], at_most: int = MAX_SPANS) -> list[Span]:
    """Few spans that hold all minutes, in order; where there would be too many, the smallest gaps are bridged.

    Example:
        >>> spans_of([7, 1, 2, 30], at_most=2)
        [(1, 7), (30, 30)]
        >>> spans_of([])
        []
    """
    ordered = sorted(set(minutes))
    gaps = [(after - before, i) for i, (before, after) in enumerate(pairwise(ordered))]
    cuts = sorted(i for gap, i in sorted(gaps, reverse=True)[: at_most - 1] if gap > 1)
    firsts, lasts = [0, *(i + 1 for i in cuts)], [*cuts, len(ordered) - 1]
    return [(ordered[a], ordered[b]) for a, b in zip(firsts, lasts, strict=True)] if ordered else []


def _minutes(there: DeltaTable, where: str) -> list[dict[str, int]]:
    asked = f"SELECT {_MINUTE} AS minute, count(*) AS n FROM t WHERE {where} GROUP BY 1 ORDER BY 1"
    rows: list[dict[str, int]] = _asked(there, asked).to_pylist()
    return rows


def _asked(there: DeltaTable, sql: str) -> pa.Table:
    return pa.table(QueryBuilder().register("t", there).execute(sql).read_all())


def _within(span: Span) -> str:
    # Written so that a query and the predicate of a commit, which Delta's log keeps, read it alike.
    first, after = (datetime.fromtimestamp(60 * minute, UTC) for minute in (span[0], span[1] + 1))
    return f"(window_start >= '{first:%Y-%m-%dT%H:%M:%SZ}' AND window_start < '{after:%Y-%m-%dT%H:%M:%SZ}')"


def _refuse_other_columns(there: DeltaTable) -> None:
    names = {field.name for field in there.schema().fields}
    if names != set(PROFILES.names):
        other = sorted(names ^ set(PROFILES.names))
        msg = (
            f"partials are not added up, since the table {_NAME!r} and this version differ in the columns {other}: "
            "counts would be lost; run maintain of the version that writes the table"
        )
        raise ContractError(msg)
