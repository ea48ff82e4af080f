"""Where a micro-batch is written: each append is one transaction per table, so a replay writes nothing twice. Edge."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pegel.schemas.tables import STREAM_TABLES, TABLES
from pegel.streaming.ingest.generation import app_id
from pegel.tables.delta import DeltaTables


class StreamTables:
    """The tables that the stream writes.

    Large appends go through Spark, those of a few rows that are in Python already through ``deltalake``, which takes a
    tenth of a second where a Spark job takes half of one. Both write the same transaction: (query id and table,
    batch_id).

    Args:
        spark: the session of the query.
        tables: the tables below ``storage.root``.
        query_id: in the checkpoint's metadata.
    """

    def __init__(self, spark: SparkSession, tables: DeltaTables, query_id: str) -> None:
        self._spark = spark
        self._tables = tables
        self._query_id = query_id

    def frame(self, rows: pa.Table) -> DataFrame:
        """Rows that Python holds, as a frame of the session."""
        # A table that was filtered down to nothing has no pieces, and Spark cannot take a map in no pieces.
        return self._spark.createDataFrame(rows if len(rows) else rows.schema.empty_table())

    def holds(self, name: str, batch_id: int) -> bool:
        """Whether the micro-batch, or a later one, has been written to the table."""
        return self._tables.last_transaction(name, self.app_id(name)) >= batch_id

    def append(self, name: str, rows: DataFrame, batch_id: int) -> None:
        """Append a frame that has the table's columns, in any order; nothing, if the table holds the micro-batch.

        How many rows were written is for the table to say: having Spark count them takes as long as writing them.
        """
        (
            rows.select(*TABLES[name].names)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", self.app_id(name))
            .option("txnVersion", batch_id)
            .save(self._tables.uri(name))
        )

    def count(self, name: str, batch_id: int) -> int:
        """How many rows of the micro-batch the table holds."""
        rows = self._tables.read(name, f"SELECT count(*) AS n FROM t WHERE batch_id = {batch_id}")
        return int(rows[0]["n"])

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]], batch_id: int) -> bool:
        """Append a few rows; gives whether they were written, False if there are none or a replay finds them there."""
        return self._tables.append(name, rows, (self.app_id(name), batch_id))

    def append_arrow(self, name: str, rows: pa.Table, batch_id: int) -> bool:
        """The same for a pyarrow table that has the table's own schema."""
        return self._tables.append_arrow(name, rows, (self.app_id(name), batch_id))

    def app_id(self, name: str) -> str:
        """The application of this query's transactions on a table."""
        return app_id(self._query_id, name)


def create_tables(tables: DeltaTables) -> None:
    """Create the stream's tables, since a table without a schema cannot be read, and add columns that old ones lack."""
    for name in STREAM_TABLES:
        tables.create(name)
