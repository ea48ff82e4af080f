"""The one place that chooses where events come from. Edge."""

from pyspark.sql import DataFrame, SparkSession

from pegel.conf.settings import SourceSettings


def read_events(spark: SparkSession, settings: SourceSettings) -> DataFrame:
    """Stream the events of both hubs, and beside them those of ``source.backfill``.

    Args:
        spark: the session that the query will run in.
        settings: which source, and how much of it at once.

    Returns:
        a streaming frame ``hub string, partition string, offset bigint, enqueued_time timestamp, body binary``; one
        event a row, as its bytes came. A replayed micro-batch has the same rows.

    Raises:
        SettingsError: if the source lacks a setting.
        OutsideError: if the source cannot be reached.
    """
    live = _live(spark, settings)
    if not settings.backfill.path:
        return live
    from pegel.streaming.sources.files import read_backfill

    return live.unionByName(read_backfill(spark, settings))


def _live(spark: SparkSession, settings: SourceSettings) -> DataFrame:
    if settings.kind == "files":
        from pegel.streaming.sources.files import read_files

        return read_files(spark, settings)
    if settings.kind == "kafka":
        from pegel.streaming.sources.kafka import read_kafka

        return read_kafka(spark, settings)
    from pegel.streaming.sources.eventhubs import read_eventhubs

    return read_eventhubs(spark, settings)
