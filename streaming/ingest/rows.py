"""The rows of a micro-batch on their way to ``predictions``, ``feedback`` and ``dead_letters``. Edge.

Before its first row, a Spark job that appends to a Delta table works for a second, most of it over the table's log,
and there are three tables. So rows for a table that are few are collected and appended from this process; many are
written where they are.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from operator import or_

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.schemas.tables import TABLES
from pegel.streaming.ingest.parse import FEEDBACK, PREDICTION, REASON, RECORD
from pegel.streaming.ingest.sinks import StreamTables
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import erased_of_batch

TABLE = {PREDICTION: "predictions", FEEDBACK: "feedback"}
DEAD_LETTERS = "dead_letters"
ROW_TABLES = (*TABLE.values(), DEAD_LETTERS)

COLLECTED_BYTES = 16 * 1024 * 1024
"""Events that are larger together are not collected, however few they are."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a micro-batch stores.

    Attributes:
        batch_id: of the micro-batch.
        events: its parsed events without copies.
        tables: those that get a row.
        few: of these, those whose rows fit into the driver, see :func:`tables_with_few`.
        replayed: whether tables may hold some of it already.
    """

    batch_id: int
    events: DataFrame
    tables: Sequence[str]
    few: Collection[str]
    replayed: bool


def tables_with_few(index: pa.Table, collect_events: int) -> frozenset[str]:
    """The tables whose rows of a micro-batch fit into the driver.

    Args:
        index: see :func:`pegel.streaming.ingest.index.read_index`.
        collect_events: how many may, if they are not too large together.
    """
    own = {name: index.filter(_is_row(name, is_fit=pc.field("fit"))) for name in ROW_TABLES}
    return frozenset(name for name, events in own.items() if are_few(events, collect_events))


def are_few(index: pa.Table, collect_events: int) -> bool:
    """The same of all events in an index."""
    return len(index) <= collect_events and (pc.sum(index["bytes"]).as_py() or 0) <= COLLECTED_BYTES


class RowWriter:
    """Writes the rows of a stream's micro-batches.

    Args:
        stream: the tables as the stream writes them.
        tables: the same as everybody reads them.
    """

    def __init__(self, stream: StreamTables, tables: DeltaTables) -> None:
        self._stream = stream
        self._tables = tables

    def write(self, rows: Rows) -> dict[str, int]:
        """Write each row once: a table that holds the micro-batch already stays as it is.

        Returns:
            table -> how many rows of the micro-batch it got, now or when it came first.
        """
        there = [name for name in rows.tables if rows.replayed and self._stream.holds(name, rows.batch_id)]
        missing = [name for name in rows.tables if name not in there]
        few = [name for name in missing if name in rows.few]
        many = [name for name in missing if name not in rows.few]
        stored = {name: self._stored(name, rows.batch_id) for name in there}
        return stored | self._append_collected(rows, few) | self._append_by_spark(rows, many)

    def _append_collected(self, rows: Rows, names: Sequence[str]) -> dict[str, int]:
        if not names:
            return {}
        columns = dict.fromkeys((RECORD, REASON, *(column for name in names for column in TABLES[name].names)))
        own = rows.events if set(names) == set(rows.tables) else rows.events.where(_is_of_one(names))
        collected = own.select(*columns).toArrow()
        return {name: self._append(name, _of_table(name, collected), rows.batch_id) for name in names}

    def _append(self, name: str, rows: pa.Table, batch_id: int) -> int:
        return len(rows) if self._stream.append_arrow(name, rows, batch_id) else self._stored(name, batch_id)

    def _append_by_spark(self, rows: Rows, names: Sequence[str]) -> dict[str, int]:
        def write(name: str) -> int:
            self._stream.append(name, rows.events.where(is_of(name)), rows.batch_id)
            return self._stored(name, rows.batch_id)

        if not names:
            return {}
        # Each is one Spark action whose driver waits more than it works.
        with ThreadPoolExecutor(max_workers=len(ROW_TABLES)) as pool:
            return dict(zip(names, pool.map(write, names), strict=True))

    def _stored(self, name: str, batch_id: int) -> int:
        # What was erased since had been stored.
        return self._stream.count(name, batch_id) + erased_of_batch(self._tables, name, batch_id)


def is_of(name: str) -> Column:
    """Whether a parsed event that is no copy is a row of this table."""
    if name == DEAD_LETTERS:
        return F.col(REASON).isNotNull()
    return F.col(REASON).isNull() & (F.col(RECORD) == _RECORD[name])


def _is_row(name: str, *, is_fit: pc.Expression) -> pc.Expression:
    """The same in Arrow."""
    return ~is_fit if name == DEAD_LETTERS else is_fit & (pc.field(RECORD) == _RECORD[name])


def _is_of_one(names: Sequence[str]) -> Column:
    return reduce(or_, map(is_of, names))


def _of_table(name: str, collected: pa.Table) -> pa.Table:
    return (
        collected.filter(_is_row(name, is_fit=pc.field(REASON).is_null()))
        .select(TABLES[name].names)
        .cast(TABLES[name].arrow_schema)
    )


_RECORD = {table: record for record, table in TABLE.items()}
