"""From a micro-batch's new events to its rows of ``profiles``. Edge: reads and writes tables.

What must be remembered between micro-batches (the admitted segments, how many labels wait for their prediction) is read
from the tables at the start.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame

from pegel.conf.settings import IngestSettings
from pegel.schemas.partials import ALL, Partial, partial_from_row
from pegel.schemas.tables import PROFILES
from pegel.streaming.ingest.dedupe import stored_before
from pegel.streaming.ingest.grids import GridCatalog
from pegel.streaming.ingest.labels import label_changes, labels_of
from pegel.streaming.ingest.sinks import StreamTables
from pegel.streaming.ingest.summary import Span, Summary
from pegel.streaming.profile.counting import Version, feedback_partials, live_partials
from pegel.streaming.profile.segments import Segments
from pegel.tables.delta import DeltaTables

Rows = list[dict[str, Any]]

_COUNTED = tuple(name for name in PROFILES.names if name != "batch_id")
_SPANS_OF_LABELS = ("event_time", "label_time")


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """What came of the labels of a micro-batch.

    Attributes:
        matched: labels that found their prediction in it.
        joined_later: of these, those that earlier micro-batches had left unmatched.
        unmatched: labels of it whose prediction is not there yet.
    """

    matched: int = 0
    joined_later: int = 0
    unmatched: int = 0


class Profiler:
    """Counts the new events of micro-batches.

    Args:
        stream: the tables that the stream writes.
        tables: the tables below ``storage.root``.
        settings: the windows and the segments.
    """

    def __init__(self, stream: StreamTables, tables: DeltaTables, settings: IngestSettings) -> None:
        self._stream = stream
        self._tables = tables
        self._settings = settings
        self._grids = GridCatalog(tables)
        self._segments = Segments(settings.segment_attributes, settings.segment_cap)
        self._waiting = 0

    def restore(self, batch_id: int) -> None:
        """Read what micro-batches below ``batch_id`` have left behind."""
        segments = self._tables.read("profiles", f"SELECT DISTINCT segment FROM t WHERE batch_id < {batch_id}")
        self._segments.restore(row["segment"] for row in segments)
        waiting = "coalesce(sum(unmatched) - sum(joined_later), 0) AS n"
        rows = self._tables.read("batches", f"SELECT {waiting} FROM t WHERE batch_id < {batch_id}")
        self._waiting = int(rows[0]["n"]) if rows else 0

    def unknown_values(self) -> dict[str, Column]:
        """Attribute -> the aggregate that finds values which are not admitted yet."""
        return self._segments.unknown()

    def admit(self, values: Mapping[str, Iterable[str]]) -> None:
        """Admit the values of a micro-batch's new predictions."""
        self._segments.admit(values)

    def count_live(self, predictions: DataFrame, versions: Collection[Version]) -> Rows:
        """Count the new predictions of a micro-batch. One Spark action."""
        frame = live_partials(
            predictions,
            self._grids.grids_of(versions),
            self._segments.of_event(),
            self._settings.window_seconds,
            self._settings.max_category_names,
        )
        return _rows(frame)

    def count_labels(
        self, predictions: DataFrame, feedback: DataFrame, labels: int, summary: Summary, batch_id: int
    ) -> tuple[Rows, LabelCounts]:
        """Count what the labels change. One Spark action, none if there can be nothing to count.

        Args:
            predictions: the new predictions of the micro-batch.
            feedback: its new feedback.
            labels: how many labels are among that.
            summary: of the micro-batch.
            batch_id: of the micro-batch.
        """
        span = _hull(summary.spans[name] for name in _SPANS_OF_LABELS if name in summary.spans)
        if span is None or not (labels or self._waiting):
            return [], LabelCounts()
        changes = label_changes(
            stored_before(self._stream.read("predictions"), batch_id, "event_time", span),
            predictions,
            labels_of(stored_before(self._stream.read("feedback"), batch_id, "prediction_time", span)),
            labels_of(feedback),
        )
        rows = _rows(feedback_partials(changes, self._segments.of_event(), self._settings.window_seconds))
        grids_of = self._grids.grids_of({(row["model"], row["version"]) for row in rows})
        joined, waited = (sum(row[name] for row in rows if row["segment"] == ALL) for name in ("joined", "waited"))
        partials = [{**row, "grid": grids_of[row["model"], row["version"]].grid} for row in rows if row["counts"]]
        return partials, LabelCounts(joined, waited, labels - (joined - waited))

    def store(self, rows: Rows, labels: LabelCounts, batch_id: int) -> list[Partial]:
        """Store the partials of a micro-batch; gives those that are in the table.

        After a replay the table may hold what was counted on an older grid, and the table is right.
        """
        self._waiting += labels.unmatched - labels.joined_later
        full = [{**{name: row[name] for name in _COUNTED}, "batch_id": batch_id} for row in rows]
        if full and not self._stream.append_rows("profiles", full, batch_id):
            full = self._tables.read("profiles", f"SELECT * FROM t WHERE batch_id = {batch_id}")
        return [partial_from_row(row) for row in sorted(full, key=_key)]


def _rows(frame: DataFrame) -> Rows:
    table: pa.Table = frame.toArrow()
    rows: Rows = table.to_pylist(maps_as_pydicts="strict")
    return rows


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in PROFILES.key)


def _hull(spans: Iterable[Span]) -> Span | None:
    spans = list(spans)
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
