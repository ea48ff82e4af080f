"""From bytes to checked and masked columns, at once for nearly all events. Pure: DataFrame → DataFrame, in the JVM.

An event that is written as good ones are (:mod:`pegel.streaming.ingest.plain`) is read here. Every other one is put off
with its bytes, to be looked at field by field (:mod:`pegel.streaming.ingest.by_field`): that takes several times as
long, and merely having it in the plan would cost every micro-batch.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.settings import Settings
from pegel.schemas import events
from pegel.schemas.events import CONTRACT, FEEDBACK, PREDICTION, EventContract
from pegel.schemas.partials import BACKFILL_HUB
from pegel.streaming.ingest.checks import RECORD
from pegel.streaming.ingest.contract import REASON, ContractSql
from pegel.streaming.ingest.privacy import BETWEEN, check_key, privacy_steps

__all__ = ["DEFERRED", "FEEDBACK", "PREDICTION", "REASON", "RECORD", "SOURCE", "Parser"]

SOURCE = ("hub", "partition", "offset", "enqueued_time")
DEFERRED = "deferred"
"""Column with the bytes of an event that is put off; null in all others."""

TEXT = f"CASE WHEN octet_length(body) <= {events.MAX_EVENT_BYTES} THEN CAST(body AS STRING) END AS text"

_NOTHING = "CAST(NULL AS STRING)"


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
        """Give every plain event its columns, and put off the others.

        Args:
            frame: the source frame: ``hub, partition, offset, enqueued_time, body``.

        Returns:
            as many rows as came: the source's columns; ``record``; ``reason, detail, extra, sha256, body``, null in
            plain events; the columns of ``predictions`` and ``feedback``, masked, null in rows of the other kind
            (``event_id`` is in both); ``bytes``, how many the event has; and ``deferred``, the bytes of an event that
            is not plain and of which all else but its source, ``record`` and ``bytes`` is null.
        """
        sql = self._sql
        rows = frame.select(*SOURCE, F.expr("coalesce(body, X'') AS body"), self._record)
        # One step for each use of a column: Spark works out a step's columns once, and text within text repeatedly.
        rows = rows.selectExpr("*", TEXT)
        rows = rows.selectExpr("*", *sql.plain.reads())
        rows = rows.selectExpr("*", *sql.plain.times())
        in_time = f"NOT coalesce({sql.is_old()} OR {sql.is_future()}, false)"
        rows = rows.selectExpr("*", f"{sql.plain.is_plain()} AND {in_time} AS plain")
        rows = rows.selectExpr(
            *SOURCE,
            RECORD,
            f"{_NOTHING} AS {REASON}",
            f"{_NOTHING} AS detail",
            *(f"CASE WHEN plain THEN {sql.plain.value_of(column)} END AS {column}" for column in sql.columns),
            "CAST(NULL AS MAP<STRING, STRING>) AS extra",
            f"{_NOTHING} AS sha256",
            f"{_NOTHING} AS body",
            "octet_length(body) AS bytes",
            f"CASE WHEN NOT plain THEN body END AS {DEFERRED}",
        )
        return masked_by(self._privacy, rows)


def masked_by(steps: Sequence[Mapping[str, Column]], rows: DataFrame) -> DataFrame:
    """The rows of parsed events, with what :func:`~pegel.streaming.ingest.privacy.privacy_steps` replaces."""
    for columns in steps:
        rows = rows.withColumns(dict(columns))
    return rows.drop(*(name for name in rows.columns if name.startswith(BETWEEN)))
