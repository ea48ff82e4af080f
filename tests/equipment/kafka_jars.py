"""The class path of a Kafka broker: fetched once, at installation, by Spark's own resolver; no build tool is needed.

``python tests/equipment/kafka_jars.py`` is a step of ``make env``. The list lies in the environment that it belongs to.
"""

import subprocess
import sys
from pathlib import Path

BROKER = "org.apache.kafka:kafka_2.13:3.9.2"
"""The version of the client that Spark 4.2's Kafka source brings."""

LIST = Path(sys.prefix) / "kafka-broker.classpath"

# What Spark has anyway: its resolver leaves Scala out, and the broker has no logging of its own.
FROM_SPARK = ("scala-library-", "slf4j-api-", "log4j-api-", "log4j-core-", "log4j-1.2-api-", "log4j-slf4j2-impl-")

_RESOLVE = """
import sys
from pyspark.sql import SparkSession
conf = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
        "spark.jars.packages": sys.argv[1]}
builder = SparkSession.builder.master("local[1]")
for key, value in conf.items():
    builder = builder.config(key, value)
session = builder.getOrCreate()
sys.stdout.write(session.sparkContext.getConf().get("spark.jars"))
session.stop()
"""


def broker_class_path() -> str:
    """The class path, as ``java -cp`` takes it. Resolves and downloads only what is not there yet."""
    jars = LIST.read_text(encoding="utf-8").splitlines() if LIST.is_file() else []
    if not jars or not all(Path(jar).is_file() for jar in jars):
        jars = _of_spark() + _resolve()
        LIST.write_text("\n".join(jars), encoding="utf-8")
    return ":".join(jars)


def _of_spark() -> list[str]:
    import pyspark

    jars = sorted((Path(pyspark.__file__).parent / "jars").glob("*.jar"))
    return [str(jar) for jar in jars if jar.name.startswith(FROM_SPARK)]


def _resolve() -> list[str]:
    # In a process of its own: a session has one class path, and the broker does not belong on that of Pegel's.
    command = [sys.executable, "-c", _RESOLVE, BROKER]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"Spark could not fetch {BROKER}; is the network there?\n{found.stderr[-2000:]}")
    return [uri.removeprefix("file:").replace("///", "/") for uri in found.stdout.split(",")]


if __name__ == "__main__":
    broker_class_path()
