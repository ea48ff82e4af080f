"""Events that are looked at field by field: refused with a reason, or taken as they were meant. Pure, in the JVM.

Spark's JSON reader forgives much. What it forgives is checked here: text after the object, a key that comes twice or in
another case, NaN and infinities, bytes that are not UTF-8, and values of the wrong kind, which Spark would turn into
null or into text. A plain event, which :mod:`pegel.streaming.ingest.parse` reads at once, would get the same row here.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.settings import Settings
from pegel.schemas import events
from pegel.schemas.events import CONTRACT, EventContract
from pegel.streaming.ingest.checks import RECORD
from pegel.streaming.ingest.contract import READ, REASON, ContractSql
from pegel.streaming.ingest.parse import DEFERRED, SOURCE, TEXT, masked_by
from pegel.streaming.ingest.privacy import privacy_steps

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


class ByField:
    """Reads the events that :class:`~pegel.streaming.ingest.parse.Parser` puts off; built once, as that one is.

    Args:
        settings: as the parser's.
        contract: the parser's.
    """

    def __init__(self, settings: Settings, contract: EventContract = CONTRACT) -> None:
        self._sql = ContractSql(contract, settings.ingest.future_tolerance_seconds)
        self._privacy = privacy_steps(settings.masking)

    def parse(self, parsed: DataFrame) -> DataFrame:
        """Give every event that was put off its columns.

        Args:
            parsed: what the parser gave.

        Returns:
            a row for each that was put off, with the same columns but ``deferred``: now ``reason`` and ``detail`` are
            set where an event is refused, and then ``sha256`` of its bytes, and ``body`` (readable, masked) unless it
            is larger than an event may be or ``masking`` keeps none.
        """
        rows = parsed.where(F.col(DEFERRED).isNotNull())
        rows = rows.selectExpr(*SOURCE, RECORD, f"{DEFERRED} AS body", "bytes")
        sql = self._sql
        # One step for each use of a column: Spark works out a step's columns once, and text within text repeatedly.
        rows = rows.selectExpr("*", TEXT)
        rows = rows.selectExpr("*", f"{READ} AS read")
        rows = rows.selectExpr("*", *sql.raws())
        rows = rows.selectExpr("*", *sql.kinds_and_values())
        rows = rows.selectExpr("*", sql.unknown())
        rows = rows.selectExpr(*SOURCE, RECORD, "body", "bytes", *sql.columns, *sql.extra_and_findings())
        rows = rows.selectExpr("*", f"{sql.reason()} AS {REASON}")
        rows = rows.selectExpr(
            *SOURCE,
            RECORD,
            REASON,
            f"{sql.detail()} AS detail",
            *sql.columns,
            "extra",
            f"CASE WHEN {REASON} IS NOT NULL THEN sha2(body, 256) END AS sha256",
            f"CASE WHEN {_KEEPS_BODY} THEN {_VALID_BODY} END AS body",
            "bytes",
        )
        return masked_by(self._privacy, rows.withColumn("body", F.expr(_BODY)))
