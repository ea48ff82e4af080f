"""``pegel stream``: from the event hub to tables, numbers and alerts. The one streaming query."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from pegel.conf.settings import Settings
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.decisions import Decisions
from pegel.jobs.wiring.erasing import ErasuresOfTheStream
from pegel.jobs.wiring.spark_session import build_session
from pegel.jobs.wiring.stopping import stop_event
from pegel.jobs.wiring.stream_failures import explain_failure
from pegel.jobs.wiring.upkeep import UpkeepOfTheStream
from pegel.streaming.ingest.gap_records import GapRecords
from pegel.streaming.ingest.generation import generation_of, query_id_of
from pegel.streaming.ingest.parse import Parser
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.ingest.step import Ingest
from pegel.streaming.sources.oldest import oldest_kept
from pegel.streaming.sources.read import read_events
from pegel.tables.access import open_tables

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
STOP_SECONDS = 25.0


class MicroBatches:
    """What is done with each micro-batch: store, decide, write the decisions, commit.

    Args:
        spark: the session of the query.
        settings: all of them.
    """

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self._spark = spark
        self._settings = settings
        self._tables = open_tables(settings.storage)
        self._decisions = Decisions(self._tables, settings)
        self._ingest: Ingest | None = None
        self._gaps: GapRecords | None = None
        self.running = threading.Lock()
        """Held while a micro-batch is under way."""
        self.failure: Exception | None = None
        """What ended the last micro-batch, before Spark wraps it."""

    def __call__(self, frame: DataFrame, spark_batch_id: int) -> None:
        """Take one micro-batch; a replayed one adds what is missing and nothing twice."""
        with self.running:
            try:
                self._take(frame, spark_batch_id)
            except Exception as error:
                self.failure = error
                raise

    def _take(self, frame: DataFrame, spark_batch_id: int) -> None:
        if self._ingest is None or self._gaps is None:
            query_id = query_id_of(self._spark)
            generation = generation_of(self._tables, query_id)
            self._ingest = Ingest(self._spark, self._tables, self._settings, query_id, generation)
            self._gaps = GapRecords(self._tables, query_id, oldest_kept(self._settings.source))
        batch = self._ingest.store(frame, spark_batch_id)
        if batch is None:
            return
        gaps = self._gaps.rows(batch)
        if gaps and self._ingest.stream.append_rows("gaps", gaps, batch.batch_id):
            log.warning("micro-batch %d: %d gaps are on record in the table gaps", batch.batch_id, len(gaps))
        decided = self._decisions.decide(batch)
        written = [
            self._ingest.stream.append_rows(name, rows, batch.batch_id)
            for name, rows in (("blocks", decided.blocks), ("metrics", decided.metrics), ("alerts", decided.alerts))
            if rows
        ]
        if not self._ingest.commit(batch) or batch.replayed or not all(written):
            self._decisions.forget()
        log.info("micro-batch %d: %s", batch.batch_id, batch.counts)


@dataclass(frozen=True, slots=True)
class _Loop:
    """What the main thread does while the query runs: wait for ``stop``, and look for what else there is to do."""

    stop: threading.Event
    between: Callable[[], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the job is stopped; with ``--available-now`` take what the hub holds and stop.

    Raises:
        SettingsError: if the source or the policy cannot be meant, or another stream writes the tables.
        OutsideError: if the hub or the storage fails; the next start goes on where this one ended.
    """
    arguments = parse(build_parser("stream", "Store events, watch them, decide alerts."), argv)
    settings = arguments.settings
    stop = stop_event()
    with ErasuresOfTheStream(settings, stop) as erasures:
        if stop.is_set():
            return 0
        spark = build_session("pegel-stream", settings.spark)
        try:
            tables = open_tables(settings.storage)
            create_tables(tables)
            micro_batches = MicroBatches(spark, settings)

            def between() -> None:
                erasures.look(micro_batches.running)

            with UpkeepOfTheStream(settings):
                _run(spark, settings, micro_batches, _Loop(stop, between), available_now=arguments.available_now)
        finally:
            spark.stop()
    return 0


def _run(
    spark: SparkSession, settings: Settings, micro_batches: MicroBatches, loop: _Loop, *, available_now: bool
) -> None:
    try:
        parsed = Parser(settings).parse(read_events(spark, settings.source))
        query = _start(parsed, settings, micro_batches, available_now=available_now)
        while not loop.stop.is_set() and query.isActive:
            loop.stop.wait(LOOK_SECONDS)
            loop.between()
        if query.isActive:
            _end(query, micro_batches)
        # Raises what ended the query, if anything did.
        query.awaitTermination(1)
    except PySparkException as error:
        raise explain_failure(error, micro_batches.failure, settings) from error


def _start(
    parsed: DataFrame, settings: Settings, micro_batches: MicroBatches, *, available_now: bool
) -> StreamingQuery:
    writer = (
        parsed.writeStream.queryName("pegel")
        .option("checkpointLocation", settings.storage.checkpoint_location)
        .foreachBatch(micro_batches)
    )
    if available_now:
        return writer.trigger(availableNow=True).start()
    return writer.trigger(processingTime=f"{settings.ingest.trigger_seconds} seconds").start()


def _end(query: StreamingQuery, micro_batches: MicroBatches) -> None:
    """Stop between two micro-batches; one that takes too long is cut off, and comes again at the next start."""
    waited = micro_batches.running.acquire(timeout=STOP_SECONDS)
    try:
        query.stop()
    finally:
        if waited:
            micro_batches.running.release()
    log.info("stopped")


if __name__ == "__main__":
    exit_with(main)
