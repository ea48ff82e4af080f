"""What is written about holes in what was read: rows of ``gaps``. Edge: reads ``batches``, and asks the hub.

A hole is found when the next event behind it is read. It is a loss, and on record as one, only if the hub says that it
does not hold these events any more; an event that the hub holds and did not give is an error, and is read again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pegel.errors import OutsideError
from pegel.streaming.ingest.batch import IngestedBatch
from pegel.streaming.ingest.holes import Hole, Partition, Reached, live
from pegel.streaming.sources.oldest import OldestKept
from pegel.tables.delta import DeltaTables

EXPIRED, NO_EVENT = "expired", "no_event"

_LAST = (
    "SELECT o['hub'] AS hub, o['partition'] AS place, max(o['last']) AS last FROM"
    " (SELECT unnest(offsets) AS o FROM t WHERE query_id = '{}' AND batch_id < {}) GROUP BY 1, 2"
)


class GapRecords:
    """Finds the gaps of one query.

    Args:
        tables: the tables below ``storage.root``.
        query_id: in the checkpoint's metadata.
        oldest: see :func:`pegel.streaming.sources.oldest.oldest_kept`.
    """

    def __init__(self, tables: DeltaTables, query_id: str, oldest: OldestKept) -> None:
        self._tables = tables
        self._query_id = query_id
        self._oldest = oldest
        self._reached: Reached | None = None

    def rows(self, batch: IngestedBatch) -> list[dict[str, Any]]:
        """The rows of a micro-batch; none if nothing is missing. Micro-batches come in order.

        Raises:
            OutsideError: if the hub holds events that it did not give, or cannot be asked.
        """
        ranges = live(batch.offsets)
        reached = self._reached or Reached(self._last_before(batch.batch_id))
        holes = (*reached.holes_before(ranges), *batch.holes)
        rows = [self._row(batch.batch_id, hole) for hole in sorted(holes, key=_place)]
        reached.advance(ranges)
        self._reached = reached
        return rows

    def _last_before(self, batch_id: int) -> dict[Partition, int]:
        found: Sequence[dict[str, Any]] = self._tables.read("batches", _LAST.format(self._query_id, batch_id))
        return {(row["hub"], row["place"]): row["last"] for row in found}

    def _row(self, batch_id: int, hole: Hole) -> dict[str, Any]:
        oldest = self._oldest(hole.hub, hole.partition)
        if oldest is not None and oldest <= hole.last:
            msg = (
                f"{hole.hub}/{hole.partition} did not give the events {max(oldest, hole.first)} to {hole.last}, which"
                " it holds; start again to read them, and if that does not help, see that the hub is not compacted"
            )
            raise OutsideError(msg)
        return {
            "query_id": self._query_id,
            "batch_id": batch_id,
            "hub": hole.hub,
            "partition": hole.partition,
            "first_offset": hole.first,
            "last_offset": hole.last,
            "cause": NO_EVENT if oldest is None else EXPIRED,
            "oldest_offset": oldest,
            "found_at": datetime.now(UTC),
        }


def _place(hole: Hole) -> tuple[str, str, int]:
    return hole.hub, hole.partition, hole.first
