"""All of ingest against a plain copy: the same events, from one real Kafka broker, into Delta by one Spark session.

Ours is the stream job's own path, from the source to the row of ``batches``: parse, check, mask, drop copies, join
labels, count, decide. The other writes the same records as they are. Both take micro-batches of the same size and
begin with nothing; they run in turn, after a warm-up of each. Events have about 1 KB; one in ten is a label, one in a
hundred a copy, one in a hundred broken, and one text in five holds something to mask.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from equipment.kafka_broker import KafkaBroker
from equipment.kilobyte_events import mixed_events
from equipment.seeded_events import FEEDBACK, PREDICTIONS, SentEvent
from pyspark.sql import SparkSession
from pyspark.sql.streaming import DataStreamWriter

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import IngestSettings, KafkaSettings, Settings, SourceSettings, StorageSettings
from pegel.jobs.stream import MicroBatches
from pegel.jobs.wiring.spark_session import build_session
from pegel.streaming.ingest.parse import Parser
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.sources.read import read_events
from pegel.tables.delta import DeltaTables

SEED = 11
ROUNDS = 2
PARTITIONS = 2
EVENTS_PER_MICRO_BATCH = 100_000
WARM_UP_EVENTS = 20_000
WARM_UP = "warm-up-"

Act = Callable[[SparkSession, Settings], Any]


@dataclass(frozen=True, slots=True)
class FilledHubs:
    """A broker with events, a session to read them, and a folder for what is written; ``size`` is theirs in bytes."""

    broker: KafkaBroker
    spark: SparkSession
    folder: Path
    size: int


@contextmanager
def filled_hubs(
    events_of: Callable[[int, datetime, int], Iterable[SentEvent]], seed: int, events: int
) -> Iterator[FilledHubs]:
    """Hubs with so many events and, under :data:`WARM_UP`, others to warm up with.

    Args:
        events_of: makes events from a seed, a first time and a number.
        seed: of those that are measured.
        events: their number.
    """
    hubs = [prefix + hub for prefix in ("", WARM_UP) for hub in (PREDICTIONS, FEEDBACK)]
    with tempfile.TemporaryDirectory(prefix="pegel-bench-") as name:
        folder = Path(name)
        with KafkaBroker(folder / "kafka", dict.fromkeys(hubs, PARTITIONS)) as broker:
            start = datetime.now(UTC)
            send(broker, WARM_UP, events_of(seed + 1, start, WARM_UP_EVENTS))
            size = send(broker, "", events_of(seed, start, events))
            spark = build_session("pegel-bench", {"spark.driver.memory": "2g"})
            try:
                yield FilledHubs(broker, spark, folder, size)
            finally:
                spark.stop()


def run(events: int) -> dict[str, Any]:
    """Measure both.

    Args:
        events: how many events the hubs hold, predictions, feedback and broken ones together.

    Returns:
        ``ours`` and ``other`` in events per second, the median of the rounds, and what was measured.

    Raises:
        RuntimeError: if either did not take every event, since a speed at which events are lost says nothing.
    """
    with filled_hubs(mixed_events, SEED, events) as hubs:
        size = hubs.size
        ours, other = _rounds(hubs.spark, hubs.broker, hubs.folder, events)
    rates = [statistics.median(events / seconds for seconds in runs) for runs in (ours, other)]
    return {
        "ours": round(rates[0], 1),
        "other": round(rates[1], 1),
        "ratio": round(rates[0] / rates[1], 4),
        "unit": "events/s",
        "events": events,
        "bytes": size,
        "events_per_micro_batch": EVENTS_PER_MICRO_BATCH,
        "ours_seconds": [round(seconds, 2) for seconds in ours],
        "other_seconds": [round(seconds, 2) for seconds in other],
    }


def send(broker: KafkaBroker, prefix: str, events: Iterable[SentEvent]) -> int:
    """Send events to the partitions in turn; gives how many bytes they have."""
    producer = Producer({**broker.client_options(), "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    size = 0
    for event, partition in zip(events, cycle(range(PARTITIONS)), strict=False):
        producer.produce(prefix + event.hub, event.body, partition=partition)
        producer.poll(0)
        size += len(event.body)
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"the Kafka broker did not take {left} events within 60 s; its log lies in its folder")
    return size


def _rounds(spark: SparkSession, broker: KafkaBroker, folder: Path, events: int) -> tuple[list[float], list[float]]:
    """The seconds of every round: ours, the other."""
    seconds: dict[str, list[float]] = {"ours": [], "other": []}
    plans = [(WARM_UP, "warm-up", WARM_UP_EVENTS), *(("", f"round {i + 1}", events) for i in range(ROUNDS))]
    for prefix, label, count in plans:
        for name, (take, count_taken) in _BOTH.items():
            root = folder / f"{name} {label}".replace(" ", "-")
            settings = settings_of(broker, prefix, root, folder / "connection-string")
            begun = time.perf_counter()
            take(spark, settings)
            elapsed = time.perf_counter() - begun
            print(f"ingest_vs_copy: {label}, {name}: {count} events in {elapsed:.2f} s", file=sys.stderr)
            if (taken := count_taken(spark, settings)) != count:
                raise RuntimeError(f"{name} took {taken} of {count} events in {label}; its speed would say nothing")
            if prefix != WARM_UP:
                seconds[name].append(elapsed)
    return seconds["ours"], seconds["other"]


def settings_of(broker: KafkaBroker, prefix: str, root: Path, secret: Path) -> Settings:
    secret.write_text(broker.password, encoding="utf-8")
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        truststore_pem=broker.truststore_pem,
        connection_string=SecretRef(file=str(secret)),
    )
    source = SourceSettings(
        kind="kafka",
        predictions_hub=prefix + PREDICTIONS,
        feedback_hub=prefix + FEEDBACK,
        # Spark shares the limit out between the partitions and rounds down; what is left would be one more micro-batch.
        max_events_per_trigger=EVENTS_PER_MICRO_BATCH + 2 * PARTITIONS,
        kafka=kafka,
    )
    return Settings(
        storage=StorageSettings(root=str(root)), source=source, ingest=IngestSettings(segment_attributes=("country",))
    )


def ingest(spark: SparkSession, settings: Settings) -> None:
    """The stream job until the hubs are empty."""
    create_tables(DeltaTables(settings.storage.root))
    events = read_events(spark, settings.source)
    _take_all(Parser(settings).parse(events).writeStream.foreachBatch(MicroBatches(spark, settings)), settings)


def _copy(spark: SparkSession, settings: Settings) -> None:
    """The same records into one table, as they are."""
    events = read_events(spark, settings.source)
    _take_all(events.writeStream.format("delta").option("path", _copied(settings)), settings)


def _take_all(writer: DataStreamWriter, settings: Settings) -> None:
    query = writer.option("checkpointLocation", settings.storage.checkpoint_location).trigger(availableNow=True).start()
    query.awaitTermination()
    for one in query.recentProgress:
        if one["numInputRows"]:
            shown = {"batch": one["batchId"], "events": one["numInputRows"], "ms": dict(one["durationMs"])}
            print(f"ingest_vs_copy: {json.dumps(shown)}", file=sys.stderr)


def accounted(_: SparkSession, settings: Settings) -> int:
    """How many events ``batches`` accounts for: stored, refused or left out as copies."""
    rows = DeltaTables(settings.storage.root).read("batches")
    events = (row["stored"] + row["dead_letters"] + row["duplicates"] for row in rows)
    feedback = (row["feedback_stored"] + row["feedback_dead_letters"] + row["feedback_duplicates"] for row in rows)
    return sum(events) + sum(feedback)


def _copied_rows(spark: SparkSession, settings: Settings) -> int:
    return spark.read.format("delta").load(_copied(settings)).count()


def _copied(settings: Settings) -> str:
    return f"{settings.storage.root}/copy"


_BOTH: Mapping[str, tuple[Act, Act]] = {"ours": (ingest, accounted), "other": (_copy, _copied_rows)}
