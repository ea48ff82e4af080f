"""The contract of events as SQL text: which fields are read, which keys are unknown, and why one is refused. Pure.

It is built from an :class:`~pegel.schemas.events.EventContract` and works on the columns of the parser: ``text``, the
event if it is not too large; ``read``, its keys and their variants if it is one object; and then those that are named
in :class:`ContractSql`, in the order of its methods. Plain events need none of it.
"""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase

from pegel.schemas import events
from pegel.schemas.events import EventContract
from pegel.streaming.ingest.checks import RECORD, CheckedField, Fault, first_bad, first_missing
from pegel.streaming.ingest.plain import PlainSql

REASON = "reason"
"""Column with the reason code; null in a row that is fit to store."""

ENVELOPE = ("schema_version", "event_type")

# The reader's own leniency is switched off. What it could not read as a whole it still gives in part, perhaps from
# another place of the text; then it names the text as broken.
_STRICT = "map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false', 'columnNameOfCorruptRecord', 'broken')"
# The body stands once in square and once in curly brackets. Whatever follows the object would have to close or continue
# both, and nothing does; so no text after it is overlooked.
_IN_SQUARE = "json_array_length(concat('[', text, ']')) = 1"
_OBJECT = "STRUCT<``: MAP<STRING, %s>, broken: STRING>"
_IN_CURLY = (
    f"transform(array(from_json(concat('{{\"\":', text, '}}'), '{_OBJECT}', {_STRICT})), "
    "whole -> CASE WHEN whole.broken IS NULL THEN whole.`` END)[0]"
)
READ = f"CASE WHEN is_valid_utf8(text) AND {_IN_SQUARE} THEN {_IN_CURLY % 'VARIANT'} END"
"""SQL: the keys of the event and their variants; null if it is no object, or one that no variant holds."""

# Without brackets the reader is content with the first object. An object that is nested to the reader's very limit,
# 1,000 deep, does not fit into the brackets and is called trailing too.
_BEGINS = f"from_json(text, 'MAP<STRING, STRING>', {_STRICT}) IS NOT NULL"
_IS_ONE = f"{_IN_SQUARE} AND {_IN_CURLY % 'STRING'} IS NOT NULL"
# Of one object, variants refuse two things: a key that comes twice below the top, and half of a pair of escapes, which
# is no character. Pairs and escaped backslashes are taken out first, so that what is left of \ud800 is a half.
_WHOLE = r"\\\\\\\\|\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = r"\\\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
_HAS_HALF = f"regexp_replace(text, '{_WHOLE}', ' ') RLIKE '{_HALF}'"

_VERSION = (
    "CASE WHEN version_raw IS NULL THEN 1 "
    "WHEN schema_of_variant(version_raw) = 'BIGINT' THEN try_cast(version_raw AS BIGINT) END"
)

_DETAILS = {
    events.TOO_LARGE: f"the event has more than {events.MAX_EVENT_BYTES} bytes; only its hash is kept",
    events.INVALID_UTF8: "the event is not UTF-8",
    events.NOT_JSON_OBJECT: "the event is not one JSON object, or it is nested too deep or holds half a character",
    events.TRAILING_TEXT: "something follows the JSON object",
    events.DUPLICATE_KEY: "a key stands twice in one object",
    events.WRONG_TYPE: "the field event_type must be that of the hub",
    events.OLD_TIME: f"the event is dated before {events.EARLIEST_TIME.year}",
    events.FUTURE_TIME: "the event is dated later than the hub took it",
}


class ContractSql:
    """SQL for one contract. Each method gives expressions over the columns of those before it.

    Args:
        contract: the versions and their fields.
        future_tolerance_seconds: how much later than its enqueued time an event may be dated.
    """

    def __init__(self, contract: EventContract, future_tolerance_seconds: int) -> None:
        self._versions = contract.versions
        self._fields = {
            kind: tuple(CheckedField(f, f"{kind}_raw_{i}", f"{kind}_kind_{i}", f.column) for i, f in enumerate(fields))
            for kind, fields in contract.fields.items()
        }
        self._all = tuple((kind, checked) for kind, fields in self._fields.items() for checked in fields)
        self._tolerance_seconds = future_tolerance_seconds
        self.plain = PlainSql(contract.versions, self._fields)
        self.columns = tuple(dict.fromkeys(checked.value for _, checked in self._all))
        self._times = ", ".join(dict.fromkeys(c.value for _, c in self._all if c.field.type == "timestamp"))

    def raws(self) -> list[str]:
        """The variant of every field; a look-up that is not wrapped so would be repeated at every use."""
        version = "coalesce(try_cast(read['schema_version'] AS BIGINT), 1)"
        fields = [
            f"CASE WHEN {_applies(kind, checked, version)} THEN read['{checked.field.json}'] END AS {checked.raw}"
            for kind, checked in self._all
        ]
        return [
            *fields,
            "if(read IS NULL, NULL, read['schema_version']) AS version_raw",
            "if(read IS NULL, NULL, read['event_type']) AS type_raw",
        ]

    def kinds_and_values(self) -> list[str]:
        """What was written in every field, the value of every column, and ``odd``: whether there are other keys.

        A key that comes twice makes an object odd too.
        """
        sources: dict[str, list[str]] = {}
        for kind, checked in self._all:
            value = f"CASE WHEN {_applies(kind, checked, _VERSION)} THEN {checked.value_of} END"
            sources.setdefault(checked.value, []).append(value)
        values = [f"coalesce({', '.join(texts)}) AS {column}" for column, texts in sources.items()]
        kinds = [f"{checked.kind_of} AS {checked.kind}" for _, checked in self._all if not checked.field.values]
        raws = ["version_raw", "type_raw", *(checked.raw for _, checked in self._all)]
        known = " + ".join(f"CAST({raw} IS NOT NULL AS INT)" for raw in raws)
        return [*kinds, *values, f"size(read) > {known} AS odd"]

    def unknown(self) -> str:
        """The keys that the event's version does not know."""
        return f"CASE WHEN odd THEN array_except(map_keys(read), {self._known()}) END AS unknown"

    def extra_and_findings(self) -> list[str]:
        """``extra``, and what was found, from which :meth:`reason` and :meth:`detail` follow."""
        kept = f"map_filter(read, (key, value) -> NOT array_contains({self._known()}, key))"
        kept_texts = f"transform_values({kept}, (key, value) -> try_cast(value AS STRING))"
        right_type = f"schema_of_variant(type_raw) = 'STRING' AND try_cast(type_raw AS STRING) = {RECORD}"
        missing = {
            kind: first_missing((f, None if f.is_in_all_versions else f.is_in(_VERSION)) for f in fields)
            for kind, fields in self._fields.items()
        }
        versions = ", ".join(map(str, self._versions))
        bad = {kind: first_bad(fields) for kind, fields in self._fields.items()}
        return [
            f"CASE WHEN size(unknown) > 0 THEN {kept_texts} END AS extra",
            "text IS NULL AS too_large",
            "NOT is_valid_utf8(text) AS invalid_utf8",
            f"{_malformed()} AS malformed",
            f"NOT coalesce({_VERSION} IN ({versions}), false) AS unknown_version",
            f"type_raw IS NOT NULL AND NOT ({right_type}) AS wrong_event_type",
            f"{_by_record(missing)} AS missing",
            f"coalesce({_by_record(bad)}, {self._other_case()}) AS bad",
        ]

    def reason(self) -> str:
        """The first reason that holds, in the order of ``schemas.events.REASONS``; null if none does."""
        return (
            f"CASE WHEN too_large THEN '{events.TOO_LARGE}' WHEN invalid_utf8 THEN '{events.INVALID_UTF8}' "
            "WHEN malformed IS NOT NULL THEN malformed "
            f"WHEN unknown_version THEN '{events.UNKNOWN_VERSION}' WHEN wrong_event_type THEN '{events.WRONG_TYPE}' "
            f"WHEN missing IS NOT NULL THEN '{events.MISSING_FIELD}' WHEN bad IS NOT NULL THEN bad.reason "
            f"WHEN {self.is_old()} THEN '{events.OLD_TIME}' WHEN {self.is_future()} THEN '{events.FUTURE_TIME}' END"
        )

    def is_old(self) -> str:
        """Whether a time of the event is too old; null if it has none."""
        return f"least({self._times}) < TIMESTAMP '{events.EARLIEST_TIME.isoformat(sep=' ')}'"

    def is_future(self) -> str:
        """Whether a time of the event lies too far behind the time when the hub took it; null if it has none."""
        return f"greatest({self._times}) > enqueued_time + INTERVAL '{self._tolerance_seconds}' SECOND"

    def detail(self) -> str:
        """The reason in words; which field, if it is one."""
        versions = " or ".join(map(str, self._versions))
        details = _DETAILS | {events.UNKNOWN_VERSION: f"the field schema_version must be {versions}"}
        cases = (f"WHEN '{reason}' THEN '{text}'" for reason, text in details.items())
        return f"CASE {REASON} {' '.join(cases)} ELSE coalesce(missing, bad.detail) END"

    def _known(self) -> str:
        return _by_record({kind: self._known_of(fields) for kind, fields in self._fields.items()})

    def _known_of(self, fields: Sequence[CheckedField]) -> str:
        if all(f.is_in_all_versions for f in fields):
            return _array([*ENVELOPE, *(f.field.json for f in fields)])
        cases = (
            f"WHEN {version} THEN {_array([*ENVELOPE, *(f.field.json for f in fields if f.is_in_version(version))])}"
            for version in self._versions
        )
        return f"CASE {_VERSION} {' '.join(cases)} END"

    def _other_case(self) -> str:
        # Every known name is in lower case and ASCII, so an unknown key that is known once lowered differs in case
        # only. Spark's own lower() loads the tables of all scripts when it is first called, which takes seconds.
        lowered = f"translate(key, '{ascii_uppercase}', '{ascii_lowercase}')"
        fault = Fault(
            events.WRONG_CASE, "a key differs from that of a known field in upper and lower case only", ""
        ).struct
        return f"CASE WHEN exists(unknown, key -> array_contains({self._known()}, {lowered})) THEN {fault} END"


def _malformed() -> str:
    """Why the event is no object whose keys stand once; worked out only where that is known already."""
    not_read = (
        f"CASE WHEN NOT ({_BEGINS}) THEN '{events.NOT_JSON_OBJECT}' "
        f"WHEN NOT coalesce({_IS_ONE}, false) THEN '{events.TRAILING_TEXT}' "
        f"WHEN {_HAS_HALF} THEN '{events.NOT_JSON_OBJECT}' ELSE '{events.DUPLICATE_KEY}' END"
    )
    twice = "odd AND size(array_distinct(map_keys(read))) < size(read)"
    return f"CASE WHEN read IS NULL THEN {not_read} WHEN {twice} THEN '{events.DUPLICATE_KEY}' END"


def _applies(kind: str, checked: CheckedField, version: str) -> str:
    is_kind = f"{RECORD} = '{kind}'"
    return is_kind if checked.is_in_all_versions else f"{is_kind} AND {checked.is_in(version)}"


def _array(texts: Sequence[str]) -> str:
    quoted = (f"'{text}'" for text in texts)
    return f"array({', '.join(quoted)})"


def _by_record(texts: Mapping[str, str]) -> str:
    cases = (f"WHEN '{kind}' THEN {text}" for kind, text in texts.items())
    return f"CASE {RECORD} {' '.join(cases)} END"
