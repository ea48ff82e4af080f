"""Events as Spark sees them: as a source gives them, and as a micro-batch has them when they are parsed.

What is parsed is kept, as ingest keeps it. So the plan of the parser ends there in every test, and Spark compiles it,
which takes seconds, for the first of them only.
"""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from equipment.judged_events import LoggedEvent

from pegel.conf.settings import Settings
from pegel.streaming.ingest.parse import Parser

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SOURCE = "hub string, partition string, offset bigint, enqueued_time timestamp, body binary"


def frame_of(spark: "SparkSession", events: Iterable[LoggedEvent]) -> "DataFrame":
    """Events as they come from a source: in any order, in two partitions."""
    rows = [(e.hub, e.partition, e.offset, e.enqueued, bytearray(e.body)) for e in events]
    random.Random(5).shuffle(rows)
    return spark.createDataFrame(rows, SOURCE).repartition(2)


def parsed(parser: Parser, spark: "SparkSession", events: Iterable[LoggedEvent]) -> "DataFrame":
    """The same, parsed and kept."""
    return parser.parse(frame_of(spark, events)).localCheckpoint(eager=False)


class ParsedEvents:
    """Events that are parsed once, as those of a stream are: analysing the parser's plan takes a second each time."""

    def __init__(self, settings: Settings, spark: "SparkSession", events: Iterable[LoggedEvent]) -> None:
        self._rows = parsed(Parser(settings), spark, {event.place: event for event in events}.values())

    def of(self, events: Iterable[LoggedEvent]) -> "DataFrame":
        """Some of them, as a micro-batch has them."""
        places = ", ".join(repr("/".join(map(str, event.place))) for event in events)
        return self._rows.where(f"concat_ws('/', hub, partition, offset) IN ({places})")
