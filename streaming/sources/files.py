"""Events from JSON Lines in folders. Edge: DataFrame without state.

A line is an event: its partition is the name of its file, its offset the number of its line from 0, its enqueued time
the time at which the file was last changed. So a file must be moved into its folder whole and never be changed.
"""

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.settings import FilesSettings, SourceSettings
from pegel.errors import SettingsError
from pegel.schemas.partials import BACKFILL_HUB

PREDICTIONS_FOLDER = "predictions"
FEEDBACK_FOLDER = "feedback"
PATTERN = "*.jsonl"

_SCHEMA = "path string, modificationTime timestamp, length bigint, content binary"
# Spark's text source does not say which line of its file a row is. ISO 8859-1 has a character for each byte, so a file
# can be cut at its line feeds by way of text, and every line is again exactly its bytes.
_LINES = "split(decode(content, 'ISO-8859-1'), '\\n')"
_WITHOUT_LAST_EMPTY = "posexplode(IF(element_at(lines, -1) = '', slice(lines, 1, size(lines) - 1), lines))"
# Spark ignores files that are older by this than the newest; its default of 7 days would lose events silently.
_MAX_AGE = "36500d"


def read_files(spark: SparkSession, settings: SourceSettings) -> DataFrame:
    """Stream the lines of ``<path>/predictions/*.jsonl`` and ``<path>/feedback/*.jsonl``.

    A file becomes one row before it is cut into lines, so files should stay well below the memory of a worker.

    Returns:
        a streaming frame ``hub string, partition string, offset bigint, enqueued_time timestamp, body binary``. A
        replay reads the same lines under the same offsets.

    Raises:
        SettingsError: if no path is set or a folder is missing.
    """
    if not settings.files.path:
        msg = "source.kind is 'files' but source.files.path is empty; name the folder of predictions/ and feedback/"
        raise SettingsError(msg)
    return _of_both_hubs(spark, settings, settings.files, "source.files.path")


def read_backfill(spark: SparkSession, settings: SourceSettings) -> DataFrame:
    """The same for ``source.backfill``, whose events say by their hub that they are not live.

    Raises:
        SettingsError: if a folder is missing.
    """
    return _of_both_hubs(spark, settings, settings.backfill, "source.backfill.path", BACKFILL_HUB)


def _of_both_hubs(
    spark: SparkSession, settings: SourceSettings, files: FilesSettings, named: str, mark: str = ""
) -> DataFrame:
    root, at_once = files.path.rstrip("/"), files.max_files_per_trigger
    predictions, feedback = (
        _lines(spark, f"{root}/{folder}", f"{hub}{mark}", at_once, named)
        for folder, hub in ((PREDICTIONS_FOLDER, settings.predictions_hub), (FEEDBACK_FOLDER, settings.feedback_hub))
    )
    return predictions.unionByName(feedback)


def _lines(spark: SparkSession, folder: str, hub: str, files: int, named: str) -> DataFrame:
    reader = spark.readStream.format("binaryFile").schema(_SCHEMA).option("pathGlobFilter", PATTERN)
    try:
        content = reader.option("maxFileAge", _MAX_AGE).option("maxFilesPerTrigger", files).load(folder)
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        msg = f"there is no folder {folder!r}, which {named} asks for; make it, even if it stays empty"
        raise SettingsError(msg) from error
    lines = content.selectExpr("path", "modificationTime", f"{_LINES} AS lines")
    lines = lines.selectExpr("path", "modificationTime", f"{_WITHOUT_LAST_EMPTY} AS (line_no, line)")
    return lines.select(
        F.lit(hub).alias("hub"),
        F.expr("element_at(split(path, '/'), -1)").alias("partition"),
        F.expr("CAST(line_no AS BIGINT)").alias("offset"),
        F.col("modificationTime").alias("enqueued_time"),
        F.expr("encode(line, 'ISO-8859-1')").alias("body"),
    )
