"""The rows of a micro-batch on their way to ``predictions``, ``feedback`` and ``dead_letters``. Edge.

Before its first row, a Spark job that appends to a Delta table works for a second, most of it over the table's log,
and there are three tables. So the rows of a small micro-batch are collected by one job and appended from this process;
those of a large one are written where they are.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

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
        few: whether they fit into the driver, see :func:`are_few`.
        tables: those that get a row.
        replayed: whether tables may hold some of it already.
    """

    batch_id: int
    events: DataFrame
    few: bool
    tables: Sequence[str]
    replayed: bool


def are_few(index: pa.Table, collect_events: int) -> bool:
    """Whether the events of a micro-batch fit into the driver.

    Args:
        index: see :func:`pegel.streaming.ingest.index.read_index`.
        collect_events: how many may, if they are not too large together.
    """
    return len(index) <= collect_events and pc.sum(index["bytes"]).as_py() <= COLLECTED_BYTES


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
        append = self._append_collected if rows.few else self._append_by_spark
        return {name: self._stored(name, rows.batch_id) for name in there} | append(rows, missing)

    def _append_collected(self, rows: Rows, names: Sequence[str]) -> dict[str, int]:
        if not names:
            return {}
        columns = dict.fromkeys((RECORD, REASON, *(column for name in names for column in TABLES[name].names)))
        collected = rows.events.select(*columns).toArrow()
        return {name: self._append(name, _of_table(name, collected), rows.batch_id) for name in names}

    def _append(self, name: str, rows: pa.Table, batch_id: int) -> int:
        return len(rows) if self._stream.append_arrow(name, rows, batch_id) else self._stored(name, batch_id)

    def _append_by_spark(self, rows: Rows, names: Sequence[str]) -> dict[str, int]:
        def write(name: str) -> int:
            return self._stream.append(name, rows.events.where(is_of(name)), rows.batch_id)

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


def _of_table(name: str, collected: pa.Table) -> pa.Table:
    is_fit = pc.field(REASON).is_null()
    own = ~is_fit if name == DEAD_LETTERS else is_fit & (pc.field(RECORD) == _RECORD[name])
    return collected.filter(own).select(TABLES[name].names).cast(TABLES[name].arrow_schema)


_RECORD = {table: record for record, table in TABLE.items()}
