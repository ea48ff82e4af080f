"""What the tables hold of a stream's past, as the watch asks for it. Edge."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from pegel.schemas.partials import Partial, partial_from_row
from pegel.streaming.statistics.alarm import LONGEST_LAG
from pegel.streaming.watch.state import micros
from pegel.streaming.watch.watcher import Watcher, needed_since, partition_clock
from pegel.streaming.watch.watermark import PartitionClock
from pegel.tables.delta import DeltaTables, Row


@dataclass(frozen=True, slots=True)
class PastBatch:
    """A micro-batch that was stored: its partials and the clock of the partitions that it read."""

    batch_id: int
    partials: list[Partial]
    clock: PartitionClock


class History:
    """The past of one stream.

    Args:
        tables: where ``profiles``, ``batches`` and ``blocks`` lie; none of them needs to be there yet.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables

    def partials(self, start: datetime, end: datetime, before: int) -> list[Partial]:
        """The partials of base windows in [start, end) with a batch_id below ``before``: what a watcher loads."""
        return self._partials(
            f"window_start >= {_sql_time(start)} AND window_start < {_sql_time(end)} AND batch_id < {int(before)}"
        )

    def batches(self, after: int, before: int, limit: int = 1000) -> list[PastBatch]:
        """The first ``limit`` micro-batches between two, both exclusive, in order.

        ``batches`` is written last, so what is listed there has all its partials.
        """
        sql = "SELECT batch_id, offsets FROM t WHERE {} ORDER BY batch_id LIMIT {}"
        rows = self._tables.read(
            "batches", sql.format(f"batch_id > {int(after)} AND batch_id < {int(before)}", int(limit))
        )
        if not rows:
            return []
        first, last = rows[0]["batch_id"], rows[-1]["batch_id"]
        found = dict(_by_batch(self._partials(f"batch_id >= {first} AND batch_id <= {last}")))
        return [
            PastBatch(row["batch_id"], found.get(row["batch_id"], []), partition_clock(row["offsets"])) for row in rows
        ]

    def blocks(self, before: int) -> list[Row]:
        """The last 64 rows of ``blocks`` of each key with a batch_id below ``before``."""
        ranked = (
            "SELECT *, row_number() OVER (PARTITION BY model, version, segment ORDER BY block_no DESC) AS age "
            f"FROM t WHERE batch_id < {int(before)}"
        )
        rows = self._tables.read("blocks", f"SELECT * FROM ({ranked}) WHERE age <= {LONGEST_LAG}")
        return [{name: value for name, value in row.items() if name != "age"} for row in rows]

    def restore(self, watcher: Watcher, batch_id: int) -> None:
        """Let a watcher continue with the micro-batch ``batch_id``; rows of it and of later ones are passed over."""
        blocks = self.blocks(batch_id)
        past = self.batches(needed_since(blocks, batch_id) - 1, batch_id, limit=2**31)
        partials = [partial for batch in past for partial in batch.partials]
        watcher.restore(blocks, partials, batch_id, {batch.batch_id: batch.clock for batch in past})

    def _partials(self, where: str) -> list[Partial]:
        return [partial_from_row(row) for row in self._tables.read("profiles", f"SELECT * FROM t WHERE {where}")]


def _by_batch(partials: list[Partial]) -> Iterator[tuple[int, list[Partial]]]:
    for batch_id, found in groupby(sorted(partials, key=lambda p: p.batch_id), key=lambda p: p.batch_id):
        yield batch_id, list(found)


def _sql_time(time: datetime) -> str:
    return f"arrow_cast({micros(time)}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
