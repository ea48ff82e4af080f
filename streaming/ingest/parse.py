"""From bytes to checked and masked columns. Pure: DataFrame → DataFrame, in the JVM.

An event that is written as good ones are (:mod:`pegel.streaming.ingest.plain`) is read at once. Every other one is
looked at field by field (:mod:`pegel.streaming.ingest.by_field`), which takes several times as long.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.settings import Settings
from pegel.schemas import events
from pegel.schemas.events import CONTRACT, FEEDBACK, PREDICTION, EventContract
from pegel.schemas.partials import BACKFILL_HUB
from pegel.streaming.ingest.by_field import by_field
from pegel.streaming.ingest.checks import RECORD
from pegel.streaming.ingest.contract import REASON, ContractSql
from pegel.streaming.ingest.privacy import BETWEEN, check_key, privacy_steps

__all__ = ["FEEDBACK", "PREDICTION", "REASON", "RECORD", "SOURCE", "Parser"]

SOURCE = ("hub", "partition", "offset", "enqueued_time")

_TEXT = f"CASE WHEN octet_length(body) <= {events.MAX_EVENT_BYTES} THEN CAST(body AS STRING) END AS text"


class Parser:
    """Parse, check and mask events; built once, since building columns costs more than a small micro-batch does.

    Args:
        settings: the hubs' names, how far into the future an event may be dated, what is masked.
        contract: the versions of events and their fields.

    Raises:
        SettingsError: if texts are to be hashed and the key is missing.
    """

    def __init__(self, settings: Settings, contract: EventContract = CONTRACT) -> None:
        hub = settings.source.feedback_hub
        self._record = F.when(F.col("hub").isin(hub, hub + BACKFILL_HUB), FEEDBACK).otherwise(PREDICTION).alias(RECORD)
        self._sql = ContractSql(contract, settings.ingest.future_tolerance_seconds)
        check_key(settings.masking)
        self._privacy = privacy_steps(settings.masking)

    def parse(self, frame: DataFrame) -> DataFrame:
        """Give every event its columns.

        Args:
            frame: the source frame: ``hub, partition, offset, enqueued_time, body``.

        Returns:
            as many rows as came: the source's columns; ``record``; ``reason`` and ``detail``, null if all is well; the
            columns of ``predictions`` and ``feedback``, masked, null in rows of the other kind (``event_id`` is in
            both); ``sha256`` only where there is a reason, and ``body`` (readable, masked) unless it is larger than an
            event may be or ``masking`` keeps none; and ``bytes``, how many the event has.
        """
        sql = self._sql
        rows = frame.select(*SOURCE, F.expr("coalesce(body, X'') AS body"), self._record)
        # One step for each use of a column: Spark works out a step's columns once, and text within text repeatedly.
        rows = rows.selectExpr("*", _TEXT)
        rows = rows.selectExpr("*", *sql.plain.reads())
        rows = rows.selectExpr("*", *sql.plain.times())
        in_time = f"NOT coalesce({sql.is_old()} OR {sql.is_future()}, false)"
        rows = rows.selectExpr("*", f"{sql.plain.is_plain()} AND {in_time} AS plain")
        values = ", ".join(f"'{column}', {sql.plain.value_of(column)}" for column in sql.columns)
        rows = rows.selectExpr(
            *SOURCE,
            RECORD,
            "octet_length(body) AS bytes",
            "plain",
            f"CASE WHEN plain THEN named_struct({values}) END AS at_once",
            *(f"CASE WHEN NOT plain THEN {column} END AS {column}" for column in ("body", "text")),
        )
        rows = by_field(rows, sql)
        rows = rows.selectExpr(
            *SOURCE,
            RECORD,
            REASON,
            "detail",
            *(f"CASE WHEN plain THEN at_once.{column} ELSE {column} END AS {column}" for column in sql.columns),
            "extra",
            "sha256",
            "body",
            "bytes",
        )
        for columns in self._privacy:
            rows = rows.withColumns(dict(columns))
        return rows.drop(*(name for name in rows.columns if name.startswith(BETWEEN)))
