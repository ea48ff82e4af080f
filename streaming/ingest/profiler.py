"""From a micro-batch's new events to its rows of ``profiles``. Edge: reads and writes tables.

What must be remembered between micro-batches (the admitted segments, how many labels wait for their prediction) is read
from the tables at the start.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame

from pegel.conf.settings import IngestSettings
from pegel.schemas.partials import ALL, Partial, partial_from_row, partial_to_row
from pegel.schemas.tables import PROFILES
from pegel.streaming.ingest.grids import GridCatalog
from pegel.streaming.ingest.index import labels_in, of_record, values_in
from pegel.streaming.ingest.labels import LABEL_COLUMNS, PREDICTION_COLUMNS, label_changes, labels_of
from pegel.streaming.ingest.parse import PREDICTION
from pegel.streaming.ingest.sinks import StreamTables
from pegel.streaming.ingest.stored import stored_before
from pegel.streaming.profile.assembly import event_partials, label_partials
from pegel.streaming.profile.counting import Version, event_sums, label_sums
from pegel.streaming.profile.segments import Segments
from pegel.tables.delta import DeltaTables


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

    def attributes(self) -> dict[str, Column]:
        """Attribute -> the value that an event is counted under."""
        return self._segments.values

    def admit(self, new: pa.Table) -> None:
        """Admit the values of a micro-batch's new predictions; see :func:`pegel.streaming.ingest.index.read_index`."""
        predictions = of_record(new, PREDICTION)
        self._segments.admit({name: values_in(predictions, name) for name in self._segments.values})

    def count_events(
        self, predictions: DataFrame, versions: Collection[Version], batch_id: int, kind: str
    ) -> list[Partial]:
        """Count new predictions of a micro-batch, as partials of this kind. One Spark action."""
        grids_of = self._grids.grids_of(versions)
        window_seconds = self._settings.window_seconds
        sums = event_sums(predictions, grids_of, self._segments, window_seconds).toArrow()
        grid_of = {grid.grid: grid for grid in grids_of.values()}
        return event_partials(sums, grid_of, window_seconds, self._settings.max_category_names, batch_id, kind=kind)

    def count_labels(
        self, predictions: DataFrame, feedback: DataFrame, new: pa.Table, batch_id: int
    ) -> tuple[list[Partial], LabelCounts]:
        """Count what the labels change. One Spark action, none if there can be nothing to count.

        Args:
            predictions: the new predictions of the micro-batch.
            feedback: its new feedback.
            new: the index of both.
            batch_id: of the micro-batch.
        """
        labels = labels_in(new).select(["label_of", "label_time"]).rename_columns(["id", "time"])
        waited_for = of_record(new, PREDICTION).select(["id", "time"])
        about = pa.concat_tables([labels, waited_for]) if self._waiting else labels
        if not len(about):
            return [], LabelCounts()
        of_prediction = {"event_id": labels["id"], "event_time": labels["time"]}
        of_label = {"event_id": about["id"], "prediction_time": about["time"]}
        changes = label_changes(
            self._stored("predictions", batch_id, PREDICTION_COLUMNS, of_prediction),
            predictions,
            labels_of(self._stored("feedback", batch_id, LABEL_COLUMNS, of_label)),
            labels_of(feedback),
        )
        sums = label_sums(changes, self._segments, self._settings.window_seconds).toArrow()
        everywhere = sums.filter(pc.equal(sums["segment"], ALL))
        joined, waited = (pc.sum(everywhere[name]).as_py() or 0 for name in ("joined", "waited"))
        partials = label_partials(sums, self._grids.grids_of, self._settings.window_seconds, batch_id)
        return partials, LabelCounts(joined, waited, len(labels) - (joined - waited))

    def store(self, partials: Sequence[Partial], labels: LabelCounts, batch_id: int) -> list[Partial]:
        """Store the partials of a micro-batch; gives those that are in the table.

        After a replay the table may hold what was counted on an older grid, and the table is right.
        """
        self._waiting += labels.unmatched - labels.joined_later
        rows = [partial_to_row(partial) for partial in partials]
        if rows and not self._stream.append_rows("profiles", rows, batch_id):
            stored = self._tables.read("profiles", f"SELECT * FROM t WHERE batch_id = {batch_id}")
            partials = [partial_from_row(row) for row in stored]
        return sorted(partials, key=_key)

    def _stored(
        self, name: str, batch_id: int, columns: Sequence[str], wanted: Mapping[str, pa.ChunkedArray]
    ) -> DataFrame:
        return self._stream.frame(stored_before(self._tables, name, batch_id, columns, wanted))


def _key(partial: Partial) -> tuple[Any, ...]:
    return tuple(getattr(partial, name) for name in PROFILES.key)
