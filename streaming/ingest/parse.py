"""From bytes to checked and masked columns. Pure: DataFrame → DataFrame, in the JVM.

Spark's JSON reader forgives much. What it forgives is checked here, so that an event is either understood as it was
meant or refused with a reason: text after the object, a key that comes twice or in another case, NaN and infinities,
bytes that are not UTF-8, and values of the wrong kind, which Spark would turn into null or into text.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.settings import Settings
from pegel.schemas import events
from pegel.schemas.events import CONTRACT, FEEDBACK, PREDICTION, EventContract
from pegel.schemas.partials import BACKFILL_HUB
from pegel.streaming.ingest.checks import RECORD
from pegel.streaming.ingest.contract import READ, REASON, ContractSql
from pegel.streaming.ingest.privacy import TOGETHER, check_key, privacy_steps

__all__ = ["FEEDBACK", "PREDICTION", "REASON", "RECORD", "SOURCE", "Parser"]

SOURCE = ("hub", "partition", "offset", "enqueued_time")

# Escapes such as \u0040 would hide an address from masking, so printable characters are shown, quotes and \ apart.
_ESCAPE = r"\\u00"
_PRINTABLE = "^(2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abd-fABD-F]|7[0-9a-eA-E])"
_SHOWN = (
    rf"array_join(transform(split(body, '\\{_ESCAPE}'), (x, i) -> CASE WHEN i = 0 THEN x "
    rf"WHEN x RLIKE '{_PRINTABLE}' THEN concat(char(CAST(conv(substr(x, 1, 2), 16, 10) AS INT)), substr(x, 3)) "
    rf"ELSE concat('{_ESCAPE}', x) END), '')"
)
_VALID_BODY = "make_valid_utf8(CAST(body AS STRING))"
# What is larger than an event may be is not kept: one event must not cost what many do.
_KEEPS_BODY = f"{REASON} <> '{events.TOO_LARGE}'"
_BODY = f"CASE WHEN contains(body, '{_ESCAPE}') THEN {_SHOWN} ELSE body END"


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
            as many rows as came: the source's columns; ``bytes``, how many the event has; ``record``; ``reason`` and
            ``detail``, null if all is well; ``sha256`` only where there is a reason, and ``body`` (readable, masked)
            unless it is larger than an event may be or ``masking`` keeps none; then the columns of ``predictions`` and
            ``feedback``, masked, null in rows of the other kind (``event_id`` is in both).
        """
        rows = frame.select(*SOURCE, F.expr("coalesce(body, X'') AS body"), self._record)
        text = f"CASE WHEN octet_length(body) <= {events.MAX_EVENT_BYTES} THEN CAST(body AS STRING) END AS text"
        rows = rows.selectExpr("*", text)
        sql = self._sql
        # One step for each use of a column: Spark works out a step's columns once, and text within text repeatedly.
        rows = rows.selectExpr("*", *sql.plain.reads())
        rows = rows.selectExpr("*", f"{sql.plain.is_plain()} AS plain")
        rows = rows.selectExpr("*", f"{READ} AS read")
        rows = rows.selectExpr("*", *sql.raws())
        rows = rows.selectExpr("*", *sql.kinds_and_values())
        rows = rows.selectExpr("*", sql.unknown())
        rows = rows.selectExpr(*SOURCE, RECORD, "body", *sql.columns, *sql.extra_and_findings())
        rows = rows.selectExpr("*", f"{sql.reason()} AS {REASON}")
        sha256, body = (
            f"CASE WHEN {kept} THEN {value} END"
            for kept, value in ((f"{REASON} IS NOT NULL", "sha2(body, 256)"), (_KEEPS_BODY, _VALID_BODY))
        )
        rows = rows.selectExpr(
            *SOURCE,
            RECORD,
            REASON,
            f"{sql.detail()} AS detail",
            *sql.columns,
            "extra",
            f"{sha256} AS sha256",
            f"{body} AS body",
            "octet_length(body) AS bytes",
        )
        rows = rows.withColumn("body", F.expr(_BODY))
        for columns in self._privacy:
            rows = rows.withColumns(dict(columns))
        return rows.drop(*TOGETHER)
