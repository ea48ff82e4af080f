"""A table that Spark wrote before a column was there: the column comes at the end, and replays add nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from pegel.schemas.tables import table_of
from pegel.streaming.ingest.sinks import StreamTables, create_tables
from pegel.tables.delta import DeltaTables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

LATER = ("prompt_version", "probabilities")
WANTED = table_of("predictions").arrow_schema
OLD = pa.schema([field for field in WANTED if field.name not in LATER])
NEWER = {"prompt_version": "3", "probabilities": {"a": 1.0}}


def rows(batch_id: int, **more: Any) -> pa.Table:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    told = {"event_id": f"e{batch_id}", "model": "m", "version": "1", "hub": "predictions", "partition": "0"}
    told |= {"event_time": at, "enqueued_time": at, "batch_id": batch_id, "offset": batch_id}
    return pa.Table.from_pylist([told | more], schema=WANTED)


def test_spark_writes_a_column_that_its_table_lacked_and_a_replay_adds_nothing(
    spark: "SparkSession", tmp_path: Path
) -> None:
    tables = DeltaTables(str(tmp_path))
    path = tables.uri("predictions")
    stream = StreamTables(spark, tables, "query")
    DeltaTable.create(path, OLD, configuration=table_of("predictions").properties)
    before = spark.createDataFrame(rows(1).drop_columns(list(LATER)))
    options = {"txnAppId": stream.app_id("predictions"), "txnVersion": "1"}
    before.write.format("delta").mode("append").options(**options).save(path)

    create_tables(tables)
    created = tables.version("predictions")
    for batch_id in (1, 2, 2):
        if not stream.holds("predictions", batch_id):
            stream.append("predictions", stream.frame(rows(batch_id, **NEWER)), batch_id)

    held = {row["event_id"]: (row["prompt_version"], row["probabilities"]) for row in tables.read("predictions")}
    assert held == {"e1": (None, None), "e2": ("3", {"a": 1.0})}
    seen = spark.read.format("delta").load(path)
    assert {row.event_id: (row.prompt_version, row.probabilities) for row in seen.collect()} == held
    assert tuple(seen.columns[-2:]) == LATER
    assert tables.version("predictions") == created + 1


def test_a_transaction_that_another_stream_was_quicker_with_is_skipped_and_not_waited_for(
    spark: "SparkSession", tmp_path: Path
) -> None:
    tables = DeltaTables(str(tmp_path))
    create_tables(tables)
    stream = StreamTables(spark, tables, "query")
    assert stream.append_arrow("predictions", rows(1), 1)
    stream.append("predictions", stream.frame(pa.concat_tables([rows(1), rows(1)])), 1)
    assert stream.count("predictions", 1) == 1
    assert tables.version("predictions") == 1
