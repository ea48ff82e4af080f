"""One micro-batch from its parsed events to its tables. Edge.

What is stored follows from the micro-batch, from ``grids`` and from what lower micro-batches stored. Each table is
written in one transaction of (query, batch_id); a micro-batch that comes again finds what is there and adds the rest.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from pegel import __version__
from pegel.conf.settings import Settings
from pegel.schemas.partials import BACKFILL, BACKFILL_HUB, LIVE, Partial
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch, events_in
from pegel.streaming.ingest.dedupe import without_copies
from pegel.streaming.ingest.erased import erased_before, erased_letters
from pegel.streaming.ingest.generation import batch_id_of
from pegel.streaming.ingest.index import COORDINATES, ID, TIME, of_record, read_index
from pegel.streaming.ingest.parse import FEEDBACK, PREDICTION
from pegel.streaming.ingest.profiler import Profiler
from pegel.streaming.ingest.rows import (
    DEAD_LETTERS,
    ROW_TABLES,
    TABLE,
    Rows,
    RowWriter,
    are_few,
    is_of,
    tables_with_few,
)
from pegel.streaming.ingest.sinks import StreamTables
from pegel.streaming.ingest.stored import stored_before
from pegel.streaming.ingest.summary import Summary, summarise
from pegel.tables.delta import DeltaTables


@dataclass(frozen=True, slots=True)
class _Work:
    """A micro-batch while it is stored.

    Attributes:
        rows: those that are written.
        new: record -> its fit events that are no copies.
        index: of these.
    """

    rows: Rows
    summary: Summary
    new: Mapping[str, DataFrame]
    index: pa.Table


class Ingest:
    """Stores the micro-batches of one query.

    Args:
        spark: the session of the query.
        tables: the tables below ``storage.root``.
        settings: the windows and the segments.
        query_id: in the checkpoint's metadata.
        generation: of the query, see :mod:`pegel.streaming.ingest.generation`.
    """

    def __init__(
        self, spark: SparkSession, tables: DeltaTables, settings: Settings, query_id: str, generation: int
    ) -> None:
        self.stream = StreamTables(spark, tables, query_id)
        self._profiler = Profiler(self.stream, tables, settings.ingest)
        self._writer = RowWriter(self.stream, tables)
        self._collect_events = settings.ingest.collect_events
        self._tables = tables
        self._query_id = query_id
        self._generation = generation
        self._begun = False

    def store(self, parsed: DataFrame, spark_batch_id: int) -> IngestedBatch | None:
        """Store a micro-batch in ``predictions``, ``feedback``, ``dead_letters`` and ``profiles``.

        Args:
            parsed: its events, see :meth:`pegel.streaming.ingest.parse.Parser.parse`.
            spark_batch_id: Spark's own id.

        Returns:
            what was stored; None if the micro-batch holds no event.
        """
        started_at = datetime.now(UTC)
        batch_id = batch_id_of(self._generation, spark_batch_id)
        replayed = not self._begun and self._begin(batch_id)
        # Kept, and cut off from its plan: each later step would otherwise parse the events again. The batch's own id
        # comes after it, so that the code which is compiled for the plan is the same every time.
        events = parsed.localCheckpoint(eager=False).withColumn("batch_id", F.lit(batch_id).cast("bigint"))
        index = read_index(events, self._profiler.attributes())
        if not len(index):
            return None
        new, copies = without_copies(index, {record: self._seen(index, record, batch_id) for record in ID})
        copies = pa.concat_tables([copies, erased_letters(self._tables, index, batch_id)], promote_options="default")
        self._profiler.admit(new)
        first = self._without(events, copies)
        if are_few(index, self._collect_events):
            # Without an exchange between partitions there is a third less to plan and to generate code for.
            first = first.coalesce(1)
        summary = summarise(index, new, copies)
        few = tables_with_few(index, self._collect_events)
        rows = Rows(batch_id, first, _tables_of(summary), few, replayed)
        frames = {record: first.where(is_of(table)) for record, table in TABLE.items()}
        return self._store(_Work(rows, summary, frames, new), started_at)

    def commit(self, batch: IngestedBatch) -> bool:
        """Write the row of ``batches``, last of all; gives whether it was written, False if it stands there already."""
        row = {
            "query_id": batch.query_id,
            "batch_id": batch.batch_id,
            "generation": self._generation,
            "offsets": list(batch.offsets),
            **asdict(batch.counts),
            "started_at": batch.started_at,
            "committed_at": datetime.now(UTC),
            "code_version": __version__,
        }
        return self.stream.append_rows("batches", [row], batch.batch_id)

    def _begin(self, batch_id: int) -> bool:
        self._profiler.restore(batch_id)
        self._begun = True
        return any(self.stream.holds(name, batch_id) for name in (*ROW_TABLES, "profiles"))

    def _seen(self, index: pa.Table, record: str, batch_id: int) -> pa.Table:
        events = of_record(index.filter(index["fit"]), record)
        wanted = {ID[record]: events["id"], TIME[record]: events["time"]}
        found = stored_before(self._tables, TABLE[record], batch_id, tuple(wanted), wanted)
        erased = erased_before(self._tables, TABLE[record], batch_id, events["id"], events["time"])
        return pa.concat_tables([found.rename_columns(["id", "time"]), erased], promote_options="default")

    def _without(self, events: DataFrame, copies: pa.Table) -> DataFrame:
        if not len(copies):
            return events
        where = self.stream.frame(copies.select(COORDINATES))
        return events.join(F.broadcast(where), list(COORDINATES), "left_anti")

    def _store(self, work: _Work, started_at: datetime) -> IngestedBatch:
        batch_id = work.rows.batch_id
        with ThreadPoolExecutor(max_workers=3) as pool:
            # Each is a Spark action or some, whose driver waits more than it works.
            rows = pool.submit(self._writer.write, work.rows)
            live = pool.submit(self._count_events, work)
            labels = pool.submit(
                self._profiler.count_labels, work.new[PREDICTION], work.new[FEEDBACK], work.index, batch_id
            )
        of_labels, label_counts = labels.result()
        partials = self._profiler.store([*live.result(), *of_labels], label_counts, batch_id)
        stored = rows.result()
        summary = work.summary
        counts = BatchCounts(
            received=summary.received[PREDICTION],
            stored=stored.get("predictions", 0),
            dead_letters=summary.dead[PREDICTION],
            duplicates=summary.copies[PREDICTION],
            in_partials=events_in(partials),
            feedback_received=summary.received[FEEDBACK],
            feedback_stored=stored.get("feedback", 0),
            feedback_dead_letters=summary.dead[FEEDBACK],
            feedback_duplicates=summary.copies[FEEDBACK],
            **asdict(label_counts),
        )
        return IngestedBatch(
            self._query_id,
            batch_id,
            summary.offsets,
            summary.holes,
            partials,
            counts,
            summary.newest_event,
            summary.newest_enqueued,
            started_at,
            datetime.now(UTC),
            work.rows.replayed,
        )

    def _count_events(self, work: _Work) -> list[Partial]:
        if not work.summary.new[PREDICTION]:
            return []
        predictions, versions = work.new[PREDICTION], work.summary.versions
        if not work.summary.has_backfill:
            return self._profiler.count_events(predictions, versions, work.rows.batch_id, LIVE)
        old = F.col("hub").endswith(BACKFILL_HUB)
        return [
            *self._profiler.count_events(predictions.where(~old), versions, work.rows.batch_id, LIVE),
            *self._profiler.count_events(predictions.where(old), versions, work.rows.batch_id, BACKFILL),
        ]


def _tables_of(summary: Summary) -> list[str]:
    """The tables that get a row."""
    found = [TABLE[record] for record, count in summary.new.items() if count]
    return [*found, DEAD_LETTERS] if any(summary.dead.values()) else found
