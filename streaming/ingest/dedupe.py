"""Which events were seen before: in this micro-batch or in a lower one. DataFrame → DataFrame, in the JVM.

A copy carries the same id and the same event time, so only the files of these event times are read. What a micro-batch
itself has stored does not count, or a replayed one would find itself and call everything a duplicate.
"""

from collections.abc import Sequence
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

COORDINATES = ("hub", "partition", "offset")


def copies(events: DataFrame, stored: DataFrame, key: Sequence[str]) -> DataFrame:
    """The coordinates of all events that are copies; of the copies within the frame the first in the hub stays.

    Args:
        events: fit events, with their coordinates and the key's columns.
        stored: the key's columns of what lower micro-batches stored.
        key: id and event time.
    """
    keyed = events.select(*key, *COORDINATES)
    first = F.min(F.struct(*COORDINATES)).alias("first")
    repeated = keyed.groupBy(*key).agg(F.count(F.lit(1)).alias("n"), first).where("n > 1").drop("n")
    within = keyed.join(F.broadcast(repeated), list(key)).where(F.struct(*COORDINATES) != F.col("first"))
    seen = keyed.join(stored, list(key), "left_semi")
    return within.select(*COORDINATES).union(seen.select(*COORDINATES)).distinct()


def without(events: DataFrame, coordinates: DataFrame) -> DataFrame:
    """The events that are not at these coordinates."""
    return events.join(F.broadcast(coordinates), list(COORDINATES), "left_anti")


def stored_before(table: DataFrame, batch_id: int, column: str, times: tuple[datetime, datetime]) -> DataFrame:
    """What lower micro-batches stored within a span of times, both ends inclusive; Delta skips all other files."""
    return table.where((F.col("batch_id") < batch_id) & F.col(column).between(*(F.lit(time) for time in times)))
