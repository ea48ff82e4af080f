"""From bytes to checked and masked columns. Pure: DataFrame → DataFrame, in the JVM.

Spark's JSON reader forgives much. What it forgives is checked here, so that an event is either understood as it was
meant or refused with a reason: text after the object, a key that comes twice or in another case, NaN and infinities,
bytes that are not UTF-8, and values of the wrong kind, which Spark would turn into null or into text.
"""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from pegel.conf.settings import Settings
from pegel.schemas import events
from pegel.schemas.events import FEEDBACK_FIELDS, PREDICTION_FIELDS, SCHEMA_VERSION
from pegel.streaming.ingest.checks import CheckedField, first_bad, first_missing
from pegel.streaming.masking import masked

RECORD = "record"
"""Column that says which kind of event a row is: one of the two below, by its hub."""
PREDICTION = "prediction"
FEEDBACK = "feedback"

REASON = "reason"
"""Column with the reason code; null in a row that is fit to store."""

SOURCE = ("hub", "partition", "offset", "enqueued_time")
_MASKED_TEXTS = ("input", "output", "error_type", "label", "source", "body")
_MASKED_MAPS = ("features", "segments", "extra")

# The body stands once in square and once in curly brackets. Whatever follows the object would have to close or continue
# both, and nothing does; so no text after it is overlooked. The reader's own leniency is switched off.
_STRICT = "map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false')"
_READ = (
    "CASE WHEN is_valid_utf8(text) AND json_array_length(concat('[', text, ']')) = 1 "
    f"THEN from_json(concat('{{\"\":', text, '}}'), 'STRUCT<``: MAP<STRING, VARIANT>>', {_STRICT}).`` END"
)

# Escapes such as \u0040 would hide an address from masking, so printable characters are shown, quotes and \ apart.
_ESCAPE = r"\\u00"
_PRINTABLE = "^(2[013-9a-fA-F]|[346][0-9a-fA-F]|5[0-9abd-fABD-F]|7[0-9a-eA-E])"
_SHOWN = (
    rf"array_join(transform(split(body, '\\{_ESCAPE}'), (x, i) -> CASE WHEN i = 0 THEN x "
    rf"WHEN x RLIKE '{_PRINTABLE}' THEN concat(char(CAST(conv(substr(x, 1, 2), 16, 10) AS INT)), substr(x, 3)) "
    rf"ELSE concat('{_ESCAPE}', x) END), '')"
)
_BODY = f"CASE WHEN contains(body, '{_ESCAPE}') THEN {_SHOWN} ELSE body END"

_DETAILS = {
    events.TOO_LARGE: f"the event has more than {events.MAX_EVENT_BYTES} bytes",
    events.INVALID_UTF8: "the event is not UTF-8",
    events.NOT_JSON_OBJECT: "the event is not one JSON object in which every key stands once",
    events.UNKNOWN_VERSION: f"the field schema_version must be {events.SCHEMA_VERSION}",
    events.WRONG_TYPE: "the field event_type must be that of the hub",
    events.FUTURE_TIME: "the event is dated later than the hub took it",
}


class Parser:
    """Parse, check and mask events; built once, since building columns costs more than a small micro-batch does.

    Args:
        settings: the hubs' names, and how far into the future an event may be dated.
    """

    def __init__(self, settings: Settings) -> None:
        hub = F.lit(settings.source.feedback_hub)
        self._record = F.when(F.col("hub") == hub, FEEDBACK).otherwise(PREDICTION).alias(RECORD)
        self._reason = _reason(settings.ingest.future_tolerance_seconds)
        texts = {name: masked(F.col(name)) for name in _MASKED_TEXTS}
        maps = {name: F.transform_values(name, lambda _, value: masked(value)) for name in _MASKED_MAPS}
        self._masked = texts | maps

    def parse(self, frame: DataFrame) -> DataFrame:
        """Give every event its columns.

        Args:
            frame: the source frame: ``hub, partition, offset, enqueued_time, body``.

        Returns:
            as many rows as came: the source's columns; ``record``; ``reason`` and ``detail``, null if all is well;
            ``body`` (readable, masked) and ``sha256`` only where there is a reason; then the columns of ``predictions``
            and ``feedback``, masked, null in rows of the other kind (``event_id`` is in both).
        """
        rows = frame.select(*SOURCE, F.expr("coalesce(body, X'') AS body"), self._record)
        text = f"CASE WHEN octet_length(body) <= {events.MAX_EVENT_BYTES} THEN CAST(body AS STRING) END AS text"
        rows = rows.selectExpr("*", text).selectExpr("*", f"{_READ} AS read")
        # One step for each use of a column: Spark works out a step's columns once, and text within text repeatedly.
        rows = rows.selectExpr("*", *_raws())
        rows = rows.selectExpr("*", *_kinds_and_values(), f"{_is_odd()} AS odd")
        rows = rows.selectExpr("*", f"{_unknown_keys()} AS unknown")
        rows = rows.selectExpr(*SOURCE, RECORD, "body", *COLUMNS, f"{_extra()} AS extra", *_findings())
        rows = rows.selectExpr("*", f"{self._reason} AS {REASON}")
        sha256, body = (
            f"CASE WHEN {REASON} IS NOT NULL THEN {value} END" for value in ("sha2(body, 256)", _VALID_BODY)
        )
        rows = rows.selectExpr(
            *SOURCE,
            RECORD,
            REASON,
            f"{_detail()} AS detail",
            *COLUMNS,
            "extra",
            f"{sha256} AS sha256",
            f"{body} AS body",
        )
        return rows.withColumn("body", F.expr(_BODY)).withColumns(self._masked)


_VALID_BODY = "make_valid_utf8(CAST(body AS STRING))"
_FIELDS = {
    kind: tuple(CheckedField(f, f"{kind}_raw_{i}", f"{kind}_kind_{i}", f.column) for i, f in enumerate(fields))
    for kind, fields in ((PREDICTION, PREDICTION_FIELDS), (FEEDBACK, FEEDBACK_FIELDS))
}
_ALL = tuple((kind, checked) for kind, fields in _FIELDS.items() for checked in fields)
COLUMNS = tuple(dict.fromkeys(checked.value for _, checked in _ALL))


def _raws() -> list[str]:
    """The variant of every field; a look-up that is not wrapped so would be repeated at every use."""
    fields = [f"CASE WHEN {RECORD} = '{kind}' THEN read['{f.field.json}'] END AS {f.raw}" for kind, f in _ALL]
    return [
        *fields,
        "if(read IS NULL, NULL, read['schema_version']) AS version_raw",
        "if(read IS NULL, NULL, read['event_type']) AS type_raw",
    ]


def _kinds_and_values() -> list[str]:
    sources: dict[str, list[str]] = {}
    for kind, checked in _ALL:
        value = f"CASE WHEN {RECORD} = '{kind}' THEN {checked.value_of} END"
        sources.setdefault(checked.value, []).append(value)
    values = [f"coalesce({', '.join(texts)}) AS {column}" for column, texts in sources.items()]
    return [*(f"{checked.kind_of} AS {checked.kind}" for _, checked in _ALL if not checked.field.values), *values]


def _is_odd() -> str:
    """Whether the object has more keys than known ones: some are unknown, or one comes twice."""
    raws = ["version_raw", "type_raw", *(checked.raw for _, checked in _ALL)]
    known = " + ".join(f"CAST({raw} IS NOT NULL AS INT)" for raw in raws)
    return f"size(read) > {known}"


def _unknown_keys() -> str:
    return f"CASE WHEN odd THEN array_except(map_keys(read), {_known()}) END"


def _extra() -> str:
    kept = "map_filter(read, (key, value) -> array_contains(unknown, key))"
    return f"CASE WHEN size(unknown) > 0 THEN transform_values({kept}, (key, value) -> try_cast(value AS STRING)) END"


def _findings() -> list[str]:
    right_version = f"schema_of_variant(version_raw) = 'BIGINT' AND try_cast(version_raw AS BIGINT) = {SCHEMA_VERSION}"
    right_type = f"schema_of_variant(type_raw) = 'STRING' AND try_cast(type_raw AS STRING) = {RECORD}"
    missing = {kind: first_missing(fields) for kind, fields in _FIELDS.items()}
    bad = {kind: first_bad(fields) for kind, fields in _FIELDS.items()}
    return [
        "text IS NULL AS too_large",
        "NOT is_valid_utf8(text) AS invalid_utf8",
        "(read IS NULL OR odd AND size(array_distinct(map_keys(read))) < size(read)) AS not_json_object",
        f"version_raw IS NOT NULL AND NOT ({right_version}) AS unknown_version",
        f"type_raw IS NOT NULL AND NOT ({right_type}) AS wrong_event_type",
        f"{_by_record(missing)} AS missing",
        f"coalesce({_by_record(bad)}, {_other_case()}) AS bad",
    ]


def _reason(tolerance_seconds: int) -> str:
    """The first reason that holds, in the order of ``schemas.events.REASONS``."""
    latest = f"enqueued_time + INTERVAL '{tolerance_seconds}' SECOND"
    newest = "greatest(event_time, prediction_time, feedback_time)"
    holds = {
        events.TOO_LARGE: "too_large",
        events.INVALID_UTF8: "invalid_utf8",
        events.NOT_JSON_OBJECT: "not_json_object",
        events.UNKNOWN_VERSION: "unknown_version",
        events.WRONG_TYPE: "wrong_event_type",
        events.MISSING_FIELD: "missing IS NOT NULL",
        events.BAD_VALUE: "bad IS NOT NULL",
        events.FUTURE_TIME: f"{newest} > {latest}",
    }
    cases = (f"WHEN {holds[reason]} THEN '{reason}'" for reason in events.REASONS)
    return f"CASE {' '.join(cases)} END"


def _detail() -> str:
    cases = [f"WHEN '{reason}' THEN '{text}'" for reason, text in _DETAILS.items()]
    own = [f"WHEN '{events.MISSING_FIELD}' THEN missing", f"WHEN '{events.BAD_VALUE}' THEN bad"]
    return f"CASE {REASON} {' '.join([*cases, *own])} END"


def _array(texts: Sequence[str]) -> str:
    quoted = (f"'{text}'" for text in texts)
    return f"array({', '.join(quoted)})"


def _by_record(texts: Mapping[str, str]) -> str:
    cases = (f"WHEN '{kind}' THEN {text}" for kind, text in texts.items())
    return f"CASE {RECORD} {' '.join(cases)} END"


def _known() -> str:
    return _by_record(
        {kind: _array(["schema_version", "event_type", *(f.field.json for f in _FIELDS[kind])]) for kind in _FIELDS}
    )


def _other_case() -> str:
    # Every known name is in lower case and ASCII, so an unknown key that is known once lowered differs in case only.
    # Spark's own lower() loads the tables of all scripts when it is first called, which takes seconds.
    lowered = f"translate(key, '{ascii_uppercase}', '{ascii_lowercase}')"
    complaint = "'a key differs from that of a known field in upper and lower case only'"
    return f"CASE WHEN exists(unknown, key -> array_contains({_known()}, {lowered})) THEN {complaint} END"
