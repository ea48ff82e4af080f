"""Batch ids that never repeat, across checkpoints. Edge: reads the checkpoint's metadata and ``batches``."""

import json

from pyspark.sql import SparkSession

from pegel.tables.delta import DeltaTables

BATCHES_PER_GENERATION = 10**9


def query_id_of(spark: SparkSession, checkpoint: str) -> str:
    """The id that Spark gave the query of this checkpoint; it stays the same as long as the checkpoint does."""
    line = spark.read.text(f"{checkpoint.rstrip('/')}/metadata").head()
    if line is None:
        msg = f"the checkpoint {checkpoint} has an empty metadata file"
        raise ValueError(msg)
    return str(json.loads(line[0])["id"])


def generation_of(tables: DeltaTables, query_id: str) -> int:
    """The generation of a query: the one that it has in ``batches``, else the next.

    Until the first row of the query is written, every call gives the same number, so a crash before that changes
    nothing.
    """
    rows = tables.read("batches", "SELECT DISTINCT query_id, generation FROM t")
    known = {row["query_id"]: int(row["generation"]) for row in rows}
    return known.get(query_id, max(known.values(), default=-1) + 1)


def batch_id_of(generation: int, spark_batch_id: int) -> int:
    """``generation`` x 10^9 + Spark's own id.

    Example:
        >>> batch_id_of(2, 17)
        2000000017
    """
    return generation * BATCHES_PER_GENERATION + spark_batch_id
