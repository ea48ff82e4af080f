r"""Plain events: how one is recognised, and how it is read at once. Pure: a contract → SQL text.

Nearly every event is written as its producer's JSON library writes good ones. Finding out for each field what was
written, as :mod:`pegel.streaming.ingest.contract` does, costs several times as much as reading such an event. So there
is a *certificate*: a regular expression that a body matches as a whole only if the event is good, but for what its
values tell. It is narrower than the rules: an event without a certificate is not bad, it goes the long way.

Why the certificate is right:

- It knows the keys that one version of one kind of event has, written without escapes, and nothing else; so there is
  no unknown key, none in another case, and nothing after the object.
- Each key stands once. Key number 3 is followed by ``((?!\3))``: group 3 is empty, and a reference to a group fails
  until the group was matched; so the look-ahead lets the first pass and no second. At the end ``\3`` asks in the same
  way for a key that is required.
- Texts hold no bare control character, no half of a pair of escapes, and no U+FFFD, which is what bytes that are not
  UTF-8 become.
- Numbers are so short that they are finite.
- What is repeated and not a single character is repeated possessively: the search goes forward only, and in a loop,
  however long a text is.

Only the values tell how many characters a text has, that a time exists (there is no 30 February), and that no
key of a map comes twice.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pegel.schemas.events import MAX_TOKENS, NUMBER, SCALAR, STRING, EventField
from pegel.streaming.ingest.checks import RECORD, RFC_3339, CheckedField
from pegel.streaming.java_classes import spelt_out
from pegel.streaming.profile.column_sql import quoted

# Spelt out, see pegel.streaming.java_classes.
_CONTROLS = "".join(rf"\x{code:02x}" for code in range(0x20))
_CHARACTER = rf'[^"\\{_CONTROLS}\x{{fffd}}]'
_ASCII = "".join(re.escape(chr(code)) for code in range(0x20, 0x7F) if chr(code) not in '"\\')
_HEX = "[0-9a-fA-F]"
_PAIR = rf"[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_ESCAPE = rf'\\(?:["\\/bfnrt]|u(?:(?![dD][89a-fA-F]){_HEX}{{4}}|{_PAIR}))'
_TEXT = f'"(?:[{_ASCII}]+|{_CHARACTER}+|{_ESCAPE})*+"'
# A key of more than 50,000 characters stops the reader. Counting takes longer where escapes are, so this comes second.
_KEY = f'"(?:[{_ASCII}]{{0,256}}+|(?:{_CHARACTER}|{_ESCAPE}){{0,256}}+)"'
_BLANK = r"[ \t\r\n]*"

# At most 15 digits before the point and 22 after it, which a decimal of a variant holds; no zero has a sign, which such
# a decimal would lose. With the exponent it stays far within a double.
_UNSIGNED = "(?:0|[1-9][0-9]{0,14})"
_SIGN = "(?:-(?=[0-9.]{0,38}[1-9]))?"
_NUMBER = rf"{_SIGN}{_UNSIGNED}(?:\.[0-9]{{1,22}})?(?:[eE][+-]?[0-9]{{1,2}})?"
_TOKENS = f"(?:0|[1-9][0-9]{{0,{len(str(MAX_TOKENS)) - 2}}})"

_INSIDE = {STRING: _TEXT, NUMBER: _NUMBER, SCALAR: f"(?:{_TEXT}|{_NUMBER}|true|false|null)"}


def certificate(event_type: str, fields: Sequence[EventField], version: int) -> str:
    """A regular expression of Java that finds something in plain events of this kind and version only.

    Args:
        event_type: the kind of event.
        fields: those that the version has.
        version: version 1 need not be named.
    """
    written = {"schema_version": str(version), "event_type": f'"{event_type}"'} | {f.json: _written(f) for f in fields}
    required = {f.json for f in fields if f.required} | ({"schema_version"} if version > 1 else set())
    members = (rf'{re.escape(key)}"((?!\{n})){_COLON}{value}' for n, (key, value) in enumerate(written.items(), 1))
    all_there = "".join(rf"\{n}" for n, key in enumerate(written, 1) if key in required)
    return spelt_out(rf"\A{_BLANK}{_object('|'.join(members))}{_BLANK}\z{all_there}")


_COLON = f"{_BLANK}:{_BLANK}"


def _object(members: str) -> str:
    """An object of such members, each of which begins after the quote of its key."""
    return rf'\{{{_BLANK}(?:"(?:{members}){_BLANK}(?:,{_BLANK}(?=")|(?=\}})))*+\}}'


def _written(field: EventField) -> str:
    value = _value(field)
    return value if field.required else f"(?:null|{value})"


def _value(field: EventField) -> str:
    if field.values:
        return _object(f"{_KEY[1:]}{_COLON}{_INSIDE[field.values]}")
    if field.allowed:
        return f'"(?:{"|".join(map(re.escape, field.allowed))})"'
    return {"string": _TEXT, "timestamp": f'"{RFC_3339}"', "double": _NUMBER, "bigint": _TOKENS}[field.type]


class PlainSql:
    """SQL that reads plain events, over ``record`` and ``text``. Each method gives expressions over those before it.

    A time is cast once: asking whether it exists takes as long as having it.

    Args:
        versions: the versions of events.
        fields: the kinds of events and the fields of each in all versions.
    """

    def __init__(self, versions: Sequence[int], fields: Mapping[str, Sequence[CheckedField]]) -> None:
        self._versions = versions
        self._fields = fields

    def reads(self) -> list[str]:
        """For each kind of event a column with its fields, by their names in JSON; null without a certificate."""
        return [self._read(kind, fields) for kind, fields in self._fields.items()]

    def times(self) -> list[str]:
        """The columns of the table that are times; null where an event has none, or one that does not exist."""
        columns = dict.fromkeys(f.value for f in self._everything() if f.field.type == "timestamp")
        return [f"{self._first_of(column)} AS {column}" for column in columns]

    def is_plain(self) -> str:
        """Whether an event was read by now, without a doubt; never null."""
        cases = (f"WHEN '{kind}' THEN {_holds(kind, fields)}" for kind, fields in self._fields.items())
        return f"coalesce(CASE {RECORD} {' '.join(cases)} END, false)"

    def value_of(self, column: str) -> str:
        """The value of a column of the table, in a plain event."""
        is_time = any(f.value == column and f.field.type == "timestamp" for f in self._everything())
        return column if is_time else self._first_of(column)

    def _everything(self) -> Iterator[CheckedField]:
        return (f for fields in self._fields.values() for f in fields)

    def _first_of(self, column: str) -> str:
        values = [_of(kind, f) for kind, fields in self._fields.items() for f in fields if f.value == column]
        return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"

    def _read(self, kind: str, fields: Sequence[CheckedField]) -> str:
        in_version = ((v, [f.field for f in fields if f.is_in_version(v)]) for v in self._versions)
        names = [f.field.json for f in fields]
        # Where versions mean different things by one name, one struct cannot hold what each of them means.
        is_clear = len(set(names)) == len(names)
        known = in_version if is_clear else ()
        certified = " OR ".join(f"text RLIKE {quoted(certificate(kind, some, v))}" for v, some in known) or "false"
        types = {_VERSION: "BIGINT"} | {f.field.json: _read_as(f.field) for f in fields}
        struct = ", ".join(f"`{name}`: {of_type}" for name, of_type in types.items())
        read = f"from_json(text, 'STRUCT<{struct}>')"
        return f"CASE WHEN {RECORD} = '{kind}' AND ({certified}) THEN {read} END AS {_column(kind)}"


_VERSION = "schema_version"


def _column(kind: str) -> str:
    return f"{kind}_read"


def _member(kind: str, name: str) -> str:
    return f"{_column(kind)}.`{name}`"


def _read_as(field: EventField) -> str:
    """A type of Spark that the reader takes as it was written.

    A number that becomes a text does so by way of a variant, since the reader may write it anew. A time stays a text,
    since the reader's own way with times depends on the session (``spark.sql.legacy.timeParserPolicy``).
    """
    if field.values == SCALAR:
        return "MAP<STRING, VARIANT>"
    return "STRING" if field.type == "timestamp" else field.type.upper()


def _of(kind: str, checked: CheckedField) -> str:
    value = _member(kind, checked.field.json)
    if checked.field.values == SCALAR or checked.field.type == "timestamp":
        return f"try_cast({value} AS {checked.field.type.upper()})"
    if checked.field.default is None:
        return value
    has_it = checked.is_in(_version_of(kind))
    return f"CASE WHEN {RECORD} = '{kind}' AND {has_it} THEN coalesce({value}, '{checked.field.default}') END"


def _holds(kind: str, fields: Sequence[CheckedField]) -> str:
    """What the certificate leaves open, of an event that has one."""
    asked = ((f, _open_question(_member(kind, f.field.json), f)) for f in fields)
    conditions = (
        condition if f.is_in_all_versions else f"(NOT {f.is_in(_version_of(kind))} OR {condition})"
        for f, condition in asked
        if condition
    )
    return " AND ".join(conditions)


def _version_of(kind: str) -> str:
    return f"coalesce({_member(kind, _VERSION)}, 1)"


def _open_question(value: str, checked: CheckedField) -> str:
    field = checked.field
    if field.type == "timestamp":
        is_time = f"{checked.value} IS NOT NULL"
        return is_time if field.required else f"({value} IS NULL OR {is_time})"
    if field.values:
        keys = f"map_keys({value})"
        return f"coalesce(size({keys}) < 2 OR size(array_distinct({keys})) = size({keys}), true)"
    if field.max_characters is None:
        return ""
    fits = f"char_length({value}) BETWEEN {int(field.required)} AND {field.max_characters}"
    return fits if field.required else f"coalesce({fits}, true)"
