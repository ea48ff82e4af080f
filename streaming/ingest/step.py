"""One micro-batch from its bytes to its tables. Edge.

What is stored follows from the micro-batch, from ``grids`` and from what lower micro-batches stored. Each table is
written in one transaction of (query, batch_id); a micro-batch that comes again finds what is there and adds the rest.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from pegel import __version__
from pegel.conf.settings import Settings
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch, events_in
from pegel.streaming.ingest.dedupe import keyed, keyed_before, repeated, stored_before, without
from pegel.streaming.ingest.generation import batch_id_of
from pegel.streaming.ingest.labels import labels_of
from pegel.streaming.ingest.parse import FEEDBACK, PREDICTION, REASON, RECORD, Parser
from pegel.streaming.ingest.profiler import LabelCounts, Profiler, Rows
from pegel.streaming.ingest.sinks import StreamTables
from pegel.streaming.ingest.summary import Summary, new_values, summarise
from pegel.tables.delta import DeltaTables

_TABLES = {PREDICTION: "predictions", FEEDBACK: "feedback"}
_KEYS = {PREDICTION: ("event_id", "event_time"), FEEDBACK: ("feedback_id", "feedback_time")}
_DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True, slots=True)
class _Work:
    """A micro-batch while it is stored.

    Attributes:
        parsed: all its events.
        new: record -> its fit events that are no copies.
        copies: record -> how many copies are left out.
        replayed: whether tables hold some of it already.
    """

    batch_id: int
    summary: Summary
    parsed: DataFrame
    new: Mapping[str, DataFrame]
    copies: Mapping[str, int]
    replayed: bool

    def has_new(self, record: str) -> bool:
        """Whether there are new events of that kind."""
        return self.summary.received[record] > self.summary.dead[record] + self.copies[record]

    @property
    def to_write(self) -> dict[str, DataFrame]:
        """Table -> its rows; a table that gets none is left out."""
        frames = {_TABLES[record]: frame for record, frame in self.new.items() if self.has_new(record)}
        if any(self.summary.dead.values()):
            frames[_DEAD_LETTERS] = self.parsed.where(F.col(REASON).isNotNull())
        return frames


class Ingest:
    """Stores the micro-batches of one query.

    Args:
        spark: the session of the query.
        tables: the tables below ``storage.root``.
        settings: the hubs, the windows, the segments.
        query_id: in the checkpoint's metadata.
        generation: of the query, see :mod:`pegel.streaming.ingest.generation`.
    """

    def __init__(
        self, spark: SparkSession, tables: DeltaTables, settings: Settings, query_id: str, generation: int
    ) -> None:
        self.stream = StreamTables(spark, tables, query_id)
        self._profiler = Profiler(self.stream, tables, settings.ingest)
        self._parser = Parser(settings)
        self._query_id = query_id
        self._generation = generation
        self._begun = False

    def store(self, frame: DataFrame, spark_batch_id: int) -> IngestedBatch | None:
        """Store a micro-batch in ``predictions``, ``feedback``, ``dead_letters`` and ``profiles``.

        Args:
            frame: the source frame: ``hub, partition, offset, enqueued_time, body``.
            spark_batch_id: Spark's own id.

        Returns:
            what was stored; None if the micro-batch holds no event.
        """
        started_at = datetime.now(UTC)
        batch_id = batch_id_of(self._generation, spark_batch_id)
        replayed = not self._begun and self._begin(batch_id)
        # Cut off from its plan: each later step would otherwise be planned on top of hundreds of expressions. The
        # batch's own id comes after it, so that the code which is compiled for the plan is the same every time.
        parsed = self._parser.parse(frame).localCheckpoint().withColumn("batch_id", F.lit(batch_id).cast("bigint"))
        summary = summarise(parsed, self._profiler.unknown_values())
        if summary.newest_enqueued is None:
            return None
        work = self._without_copies(parsed, summary, batch_id, replayed=replayed)
        return self._store(work, summary.newest_enqueued, started_at)

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
        return any(self.stream.holds(name, batch_id) for name in (*_TABLES.values(), _DEAD_LETTERS, "profiles"))

    def _without_copies(self, parsed: DataFrame, summary: Summary, batch_id: int, *, replayed: bool) -> _Work:
        new, frames = {}, []
        for record, key in _KEYS.items():
            new[record] = parsed.where(F.col(REASON).isNull() & (F.col(RECORD) == record))
            if key[1] in summary.spans:
                stored = stored_before(self.stream.read(_TABLES[record]), batch_id, key[1], summary.spans[key[1]])
                frames += [keyed(new[record], record, key), keyed_before(stored, record, key)]
        counts = dict.fromkeys(_KEYS, 0)
        values = summary.values
        if frames:
            # Several tables need the keys where there are any, and finding them reads two tables.
            keys = repeated(frames).localCheckpoint()
            counts |= {row[RECORD]: row["n"] for row in keys.groupBy(RECORD).agg(F.sum("n").alias("n")).collect()}
            new = {r: without(new[r], keys, r, _KEYS[r]) if counts[r] else new[r] for r in new}
        if counts[PREDICTION]:
            values = new_values(new[PREDICTION], self._profiler.unknown_values())
        self._profiler.admit(values)
        return _Work(batch_id, summary, parsed, new, counts, replayed)

    def _store(self, work: _Work, newest_enqueued: datetime, started_at: datetime) -> IngestedBatch:
        frames = work.to_write
        with ThreadPoolExecutor(max_workers=len(frames) + 2) as pool:
            # Each is one Spark action whose driver waits more than it works.
            written = {name: pool.submit(self._write, name, frame, work) for name, frame in frames.items()}
            live = pool.submit(self._count_live, work)
            labels = pool.submit(self._count_labels, work)
        rows_of_labels, label_counts = labels.result()
        partials = self._profiler.store([*live.result(), *rows_of_labels], label_counts, work.batch_id)
        stored = {name: future.result() for name, future in written.items()}
        counts = BatchCounts(
            received=work.summary.received[PREDICTION],
            stored=stored.get("predictions", 0),
            dead_letters=work.summary.dead[PREDICTION],
            duplicates=work.copies[PREDICTION],
            in_partials=events_in(partials),
            feedback_received=work.summary.received[FEEDBACK],
            feedback_stored=stored.get("feedback", 0),
            feedback_dead_letters=work.summary.dead[FEEDBACK],
            feedback_duplicates=work.copies[FEEDBACK],
            **asdict(label_counts),
        )
        spans = work.summary.spans
        return IngestedBatch(
            self._query_id,
            work.batch_id,
            work.summary.offsets,
            partials,
            counts,
            spans["event_time"][1] if "event_time" in spans else None,
            newest_enqueued,
            started_at,
            datetime.now(UTC),
            work.replayed,
        )

    def _write(self, name: str, frame: DataFrame, work: _Work) -> int:
        if work.replayed and self.stream.holds(name, work.batch_id):
            return self.stream.count(name, work.batch_id)
        return self.stream.append(name, frame, work.batch_id)

    def _count_live(self, work: _Work) -> Rows:
        if not work.has_new(PREDICTION):
            return []
        return self._profiler.count_live(work.new[PREDICTION], work.summary.versions)

    def _count_labels(self, work: _Work) -> tuple[Rows, LabelCounts]:
        labels = work.summary.labels
        if labels and work.copies[FEEDBACK]:
            labels = labels_of(work.new[FEEDBACK]).count()
        return self._profiler.count_labels(
            work.new[PREDICTION], work.new[FEEDBACK], labels, work.summary, work.batch_id
        )
