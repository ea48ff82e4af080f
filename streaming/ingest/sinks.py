"""Where a micro-batch is written: every append is of one transaction per table, so a replay writes nothing twice. Edge."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pegel.schemas.tables import STREAM_TABLES, TABLES
from pegel.tables.delta import DeltaTables


class StreamTables:
    """The tables that the stream writes.

    Large appends go through Spark, those of a few rows that are in Python already through ``deltalake``, which takes a
    tenth of a second where a Spark job takes half of one. Both write the same transaction: (query id + table, batch_id).

    Args:
        spark: the session of the query.
        tables: the tables below ``storage.root``.
        query_id: in the checkpoint's metadata.
    """

    def __init__(self, spark: SparkSession, tables: DeltaTables, query_id: str) -> None:
        self._spark = spark
        self._tables = tables
        self._query_id = query_id

    def read(self, name: str) -> DataFrame:
        """The table as it stands now."""
        return self._spark.read.format("delta").load(self._tables.uri(name))

    def append(self, name: str, rows: DataFrame, batch_id: int) -> None:
        """Append a frame that has the table's columns, in any order."""
        (
            rows.select(*TABLES[name].names)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", self.app_id(name))
            .option("txnVersion", batch_id)
            .save(self._tables.uri(name))
        )

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]], batch_id: int) -> bool:
        """Append a few rows; gives whether they were written, False if there are none or a replay finds them there."""
        return self._tables.append(name, rows, (self.app_id(name), batch_id))

    def app_id(self, name: str) -> str:
        """The application of this query's transactions on a table."""
        return f"{self._query_id}/{name}"


def create_tables(tables: DeltaTables) -> None:
    """Create the stream's tables that are not there: a table without a schema cannot be read."""
    for name in STREAM_TABLES:
        if not tables.exists(name):
            tables.create(name)
