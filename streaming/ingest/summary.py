"""What a micro-batch holds: offsets by partition, counts, spans of time, versions. One Spark action."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.streaming.ingest.labels import is_label
from pegel.streaming.ingest.parse import FEEDBACK, PREDICTION, REASON, RECORD
from pegel.streaming.profile.counting import Version

Span = tuple[datetime, datetime]
"""The first and the last of some times, both inclusive."""

_TIMES = ("event_time", "prediction_time", "feedback_time", "label_time")


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a micro-batch before anything is stored.

    Attributes:
        offsets: for the column ``offsets`` of ``batches``, in order.
        received: record (``prediction`` or ``feedback``) -> events.
        dead: record -> refused events.
        labels: how many of the fit events are labels, copies included.
        spans: time column -> span over the fit events; ``label_time`` is the prediction's time of labels alone. Not
            there if no event has that time.
        newest_enqueued: of all events; None if there are none.
        versions: the versions of the fit predictions.
        values: attribute -> values that are new to the segments, those of copies included.
    """

    offsets: list[dict[str, Any]]
    received: Mapping[str, int]
    dead: Mapping[str, int]
    labels: int
    spans: Mapping[str, Span]
    newest_enqueued: datetime | None
    versions: frozenset[Version]
    values: Mapping[str, frozenset[str]]


def summarise(parsed: DataFrame, values: Mapping[str, Column]) -> Summary:
    """Summarise the parsed events of a micro-batch.

    Args:
        parsed: see :meth:`pegel.streaming.ingest.parse.Parser.parse`.
        values: attribute -> aggregate, see :meth:`pegel.streaming.profile.segments.Segments.unknown`.
    """
    fit = parsed.withColumn("fit", F.col(REASON).isNull()).withColumn(
        "label_time", F.when(is_label(), F.col("prediction_time"))
    )
    spans = [
        end(F.when(F.col("fit"), F.col(time))).alias(f"{name}_{time}")
        for time in _TIMES
        for name, end in (("first", F.min), ("last", F.max))
    ]
    version = F.when(F.col("fit") & (F.col(RECORD) == PREDICTION), F.struct("model", "version"))
    found = (
        fit.groupBy("hub", "partition", RECORD)
        .agg(
            F.min("offset").alias("first"),
            F.max("offset").alias("last"),
            F.count(F.lit(1)).alias("count"),
            F.max("enqueued_time").alias("last_enqueued"),
            F.count(REASON).alias("dead"),
            F.count(F.when(F.col("fit"), F.col("label_time"))).alias("labels"),
            F.collect_set(version).alias("versions"),
            *spans,
            *(aggregate.alias(f"values_{i}") for i, aggregate in enumerate(values.values())),
        )
        .toArrow()  # rows that are collected would have lost the zone of their times
    )
    return _summary(found.to_pylist(), list(values))


def new_values(predictions: DataFrame, values: Mapping[str, Column]) -> dict[str, frozenset[str]]:
    """The values that are new to the segments, of these events alone; for micro-batches that hold copies."""
    if not values:
        return {}
    row = predictions.agg(*(aggregate.alias(f"values_{i}") for i, aggregate in enumerate(values.values()))).head()
    return {attribute: frozenset(row[i] if row else ()) for i, attribute in enumerate(values)}


def _summary(rows: list[dict[str, Any]], attributes: list[str]) -> Summary:
    rows.sort(key=lambda row: (row["hub"], row["partition"]))
    offset = ("hub", "partition", "first", "last", "count", "last_enqueued")
    return Summary(
        offsets=[{name: row[name] for name in offset} for row in rows],
        received=_by_record(rows, "count"),
        dead=_by_record(rows, "dead"),
        labels=sum(row["labels"] for row in rows),
        spans={time: span for time in _TIMES if (span := _span(rows, time)) is not None},
        newest_enqueued=max((row["last_enqueued"] for row in rows), default=None),
        versions=frozenset((v["model"], v["version"]) for row in rows for v in row["versions"]),
        values={
            attribute: frozenset(_flat(row[f"values_{i}"] for row in rows)) for i, attribute in enumerate(attributes)
        },
    )


def _by_record(rows: list[dict[str, Any]], name: str) -> dict[str, int]:
    return {record: sum(row[name] for row in rows if row[RECORD] == record) for record in (PREDICTION, FEEDBACK)}


def _span(rows: list[dict[str, Any]], time: str) -> Span | None:
    firsts = [row[f"first_{time}"] for row in rows if row[f"first_{time}"] is not None]
    lasts = [row[f"last_{time}"] for row in rows if row[f"last_{time}"] is not None]
    return (min(firsts), max(lasts)) if firsts else None


def _flat(lists: Iterable[Iterable[str]]) -> Iterable[str]:
    return (item for items in lists for item in items)
