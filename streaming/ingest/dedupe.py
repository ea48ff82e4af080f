"""Which events were seen before: in this micro-batch or in a lower one. DataFrame → DataFrame, in the JVM.

A copy carries the same id and the same event time, so only the files of these event times are read. What a micro-batch
itself has stored does not count, or a replayed one would find itself and call everything a duplicate.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

COORDINATES = ("hub", "partition", "offset")
_KEY = ("record", "id", "time")


def keyed(events: DataFrame, record: str, key: tuple[str, str]) -> DataFrame:
    """The keys and coordinates of new events.

    Args:
        events: fit events of one kind.
        record: the kind.
        key: columns of id and event time.
    """
    return events.select(*_key(record, key), F.struct(*COORDINATES).alias("at"))


def keyed_before(stored: DataFrame, record: str, key: tuple[str, str]) -> DataFrame:
    """The same for events that lower micro-batches stored, whose coordinates do not matter."""
    nowhere = F.lit(None).cast("struct<hub:string,partition:string,offset:bigint>")
    return stored.select(*_key(record, key), nowhere.alias("at"))


def repeated(frames: Sequence[DataFrame]) -> DataFrame:
    """The keys that come more than once, with the coordinates of the one event that is kept.

    Args:
        frames: from :func:`keyed` and :func:`keyed_before`.

    Returns:
        ``record, id, time``; ``kept``: the first in the hub, null if a lower micro-batch stored one; ``n``: how many
        new events are copies.
    """
    new = F.count("at")
    seen = F.count(F.lit(1)) > new
    return (
        reduce(DataFrame.union, frames)
        .groupBy(*_KEY)
        .agg(
            F.when(~seen, F.min("at")).alias("kept"),
            (new - F.when(seen, 0).otherwise(1)).alias("n"),
        )
        .where("n > 0")
    )


def without(events: DataFrame, keys: DataFrame, record: str, key: tuple[str, str]) -> DataFrame:
    """The events without the copies.

    Args:
        events: fit events of one kind.
        keys: from :func:`repeated`.
        record: the kind.
        key: columns of id and event time.
    """
    mine = keys.where(F.col("record") == record).select(
        F.col("id").alias("repeated_id"), F.col("time").alias("repeated_time"), "kept"
    )
    same = (F.col(key[0]) == F.col("repeated_id")) & (F.col(key[1]) == F.col("repeated_time"))
    is_copy = F.col("kept").isNull() | (F.struct(*COORDINATES) != F.col("kept"))
    return events.join(F.broadcast(mine), same & is_copy, "left_anti")


def stored_before(table: DataFrame, batch_id: int, column: str, times: tuple[datetime, datetime]) -> DataFrame:
    """What lower micro-batches stored within a span of times, both ends inclusive; Delta skips all other files."""
    return table.where((F.col("batch_id") < batch_id) & F.col(column).between(*(F.lit(time) for time in times)))


def _key(record: str, key: tuple[str, str]) -> list[Column]:
    return [F.lit(record).alias("record"), F.col(key[0]).alias("id"), F.col(key[1]).alias("time")]
