"""The Spark session of a job. Edge.

On Databricks the cluster brings its own Spark and Delta, and the session that is there is taken as it is.
"""

import os
import sys
from collections.abc import Mapping

from pyspark.sql import SparkSession

from pegel.jobs.wiring.quick_start import start_options

DELTA_JAR = "io.delta:delta-spark_4.2_2.13:4.4.0"
KAFKA_JAR = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"
PACKAGES = (DELTA_JAR, KAFKA_JAR)

# Each line was measured: Delta's default of 50 snapshot partitions makes one small local micro-batch take 22 s.
LOCAL = {
    "spark.master": "local[2]",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "2",
    # A micro-batch uses some 200 compiled classes; the default keeps 100, so that each was compiled again every time.
    "spark.sql.codegen.cache.maxEntries": "2000",
    # HotSpot never compiles a method of more than 8,000 bytes, and Spark makes one of all that the parser does.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # The default, said: where it is not set, casts look into the environment for it, event by event.
    "spark.sql.ansi.enabled": "true",
    # Planning a small stage again while it runs costs more than it saves.
    "spark.sql.adaptive.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.ui.retainedExecutions": "20",
    "spark.sql.streaming.numRecentProgressUpdates": "20",
    "spark.redaction.regex": r"(?i)secret|password|token|access[.]?key|api[-_]?key|connection.?string|credential|jaas",
}


def build_session(name: str, conf: Mapping[str, str] | None = None) -> SparkSession:
    """The session of this process: the cluster's own on Databricks, else a local one with Delta and Kafka.

    Args:
        name: the application's name.
        conf: more Spark configuration; it wins over the local defaults.
    """
    builder: SparkSession.Builder = SparkSession.builder.appName(name)
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return builder.getOrCreate()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    own = conf or {}
    for key, value in {**LOCAL, **own, **start_options(PACKAGES, own)}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
