"""What a micro-batch holds: offsets by partition, counts, versions. Pure, from its index."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas.partials import BACKFILL_HUB
from pegel.streaming.ingest.holes import Hole, holes_within, live
from pegel.streaming.ingest.index import TIME, labels_in, of_record
from pegel.streaming.ingest.parse import PREDICTION
from pegel.streaming.profile.counting import Version

_OFFSETS = {"first": ("offset", "min"), "last": ("offset", "max"), "count": ("offset", "count")}


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a micro-batch before anything is stored.

    Attributes:
        offsets: for the column ``offsets`` of ``batches``, in order.
        holes: numbers that are missing within them, see :mod:`pegel.streaming.ingest.holes`.
        received: record (``prediction`` or ``feedback``) -> events.
        new: record -> events that are fit and no copies.
        copies: record -> fit events that are copies.
        labels: how many labels are new.
        versions: those of the new predictions.
        newest_event: event time of the newest new prediction; None if there is none.
        newest_enqueued: of all events.
    """

    offsets: list[dict[str, Any]]
    holes: tuple[Hole, ...]
    received: Mapping[str, int]
    new: Mapping[str, int]
    copies: Mapping[str, int]
    labels: int
    versions: frozenset[Version]
    newest_event: datetime | None
    newest_enqueued: datetime

    @property
    def has_backfill(self) -> bool:
        """Whether some of it came from files beside the live stream."""
        return any(row["hub"].endswith(BACKFILL_HUB) for row in self.offsets)

    @property
    def dead(self) -> dict[str, int]:
        """Record -> refused events."""
        return {record: n - self.new[record] - self.copies[record] for record, n in self.received.items()}


def summarise(index: pa.Table, new: pa.Table, copies: pa.Table) -> Summary:
    """Summarise a micro-batch that holds at least one event.

    Args:
        index: see :func:`pegel.streaming.ingest.index.read_index`.
        new: see :func:`pegel.streaming.ingest.dedupe.without_copies`.
        copies: see there.
    """
    predictions = of_record(new, PREDICTION)
    versions = predictions.group_by(["model", "version"]).aggregate([]).to_pylist()
    offsets = _offsets(index)
    return Summary(
        offsets=offsets,
        holes=holes_within(index, live(offsets)),
        received=_by_record(index),
        new=_by_record(new),
        copies=_by_record(copies),
        labels=len(labels_in(new)),
        versions=frozenset((row["model"], row["version"]) for row in versions),
        newest_event=pc.max(predictions["time"]).as_py(),
        newest_enqueued=pc.max(index["enqueued_time"]).as_py(),
    )


def _offsets(index: pa.Table) -> list[dict[str, Any]]:
    found = index.group_by(["hub", "partition"]).aggregate([*_OFFSETS.values(), ("enqueued_time", "max")])
    rows = [
        {
            "hub": row["hub"],
            "partition": row["partition"],
            **{name: row[f"{column}_{function}"] for name, (column, function) in _OFFSETS.items()},
            # When a file was written says nothing of how far the live events have come.
            "last_enqueued": None if row["hub"].endswith(BACKFILL_HUB) else row["enqueued_time_max"],
        }
        for row in found.to_pylist()
    ]
    return sorted(rows, key=lambda row: (row["hub"], row["partition"]))


def _by_record(index: pa.Table) -> dict[str, int]:
    return {record: len(of_record(index, record)) for record in TIME}
