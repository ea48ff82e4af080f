"""Batch ids that never repeat, across checkpoints. Edge: asks Spark and the tables."""

from pyspark.sql import SparkSession

from pegel.schemas.tables import STREAM_TABLES
from pegel.tables.delta import DeltaTables

BATCHES_PER_GENERATION = 10**9


def query_id_of(spark: SparkSession) -> str:
    """The id of the query whose micro-batch is under way; it stays the same as long as its checkpoint does.

    Raises:
        RuntimeError: outside of ``foreachBatch``.
    """
    query_id = spark.sparkContext.getLocalProperty("sql.streaming.queryId")
    if query_id is None:
        msg = "no micro-batch is under way, so there is no query to name; call this within foreachBatch"
        raise RuntimeError(msg)
    return query_id


def app_id(query_id: str, table: str) -> str:
    """The application of a query's transactions on a table."""
    return f"{query_id}/{table}"


def generation_of(tables: DeltaTables, query_id: str) -> int:
    """The generation of a query: the one that it has written under, else the next after all that were.

    A query that died in its first micro-batch has no row in ``batches`` but transactions in other tables, so every call
    gives the same number for it, and a new checkpoint never takes a number that stored rows have.
    """
    own = max(tables.last_transaction(name, app_id(query_id, name)) for name in STREAM_TABLES)
    if own >= 0:
        return own // BATCHES_PER_GENERATION
    found = [row["n"] for name in STREAM_TABLES for row in tables.read(name, "SELECT max(batch_id) AS n FROM t")]
    highest = max((n for n in found if n is not None), default=-1)
    return highest // BATCHES_PER_GENERATION + 1


def batch_id_of(generation: int, spark_batch_id: int) -> int:
    """``generation`` x 10^9 + Spark's own id.

    Example:
        >>> batch_id_of(2, 17)
        2000000017
    """
    return generation * BATCHES_PER_GENERATION + spark_batch_id
