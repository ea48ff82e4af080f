"""What a value of an event may be, as SQL text over its variant. Pure.

Each value comes as a variant, which remembers what was written: 5 and "5" differ, and so do null and nothing. What is
built here never holds text from outside, only names of ``schemas.events``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pegel.schemas.events import MAX_IDENTIFIER_CHARACTERS, MAX_TOKENS, NUMBER, SCALAR, STRING, EventField

# RFC 3339 with an offset; Spark alone would also take a time without one, a date, or a number of seconds. It ends with
# \\z, since Java's $ would also stand before a line end.
_RFC_3339 = r"^\\d{4}-\\d{2}-\\d{2}[T ]\\d{2}:\\d{2}:\\d{2}([.]\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})\\z"
_LARGEST = "1.7976931348623157E308D"

_EXPECTED = {
    "string": "a text",
    "timestamp": "a time since 1970 with an offset, such as 2026-11-25T03:00:00.123456Z",
    "double": "a finite number",
    "bigint": f"a whole number from 0 to {MAX_TOKENS}",
    STRING: "an object of texts",
    NUMBER: "an object of finite numbers",
    SCALAR: "an object of texts, finite numbers, booleans and nulls",
}


@dataclass(frozen=True, slots=True)
class CheckedField:
    """A field while it is checked, and the columns that hold what is known of it.

    Attributes:
        field: the field of the event.
        raw: column of its variant; null if the event does not have it.
        kind: column that names what was written, e.g. ``STRING`` or ``DECIMAL(3,1)``; maps have none.
        value: column of its value, null where it is not there or not of that kind.
    """

    field: EventField
    raw: str
    kind: str
    value: str

    @property
    def kind_of(self) -> str:
        """SQL for ``kind``."""
        return "CAST(NULL AS STRING)" if self.field.values else f"schema_of_variant({self.raw})"

    @property
    def value_of(self) -> str:
        """SQL for ``value``."""
        text = f"try_cast({self.raw} AS STRING)"
        if self.field.type == "timestamp":
            return f"CASE WHEN {text} RLIKE '{_RFC_3339}' THEN try_cast({text} AS TIMESTAMP) END"
        if self.field.default is not None:
            return f"CASE WHEN {self.is_absent} THEN '{self.field.default}' ELSE {text} END"
        return text if self.field.type == "string" else f"try_cast({self.raw} AS {self.field.type.upper()})"

    @property
    def is_absent(self) -> str:
        """SQL: it is not there, or null."""
        return f"({self.raw} IS NULL OR is_variant_null({self.raw}))"

    @property
    def is_good(self) -> str:
        """SQL: it is what it may be; null counts as no."""
        if self.field.values:
            # A cast that gives null means that it is no object.
            inner = f"map_values(try_cast({self.raw} AS MAP<STRING, VARIANT>))"
            return f"forall({inner}, x -> {_GOOD_INSIDE[self.field.values]})"
        if self.field.allowed:
            return f"{self.value} IN ({_quoted(self.field.allowed)})"
        text = f"{self.kind} = 'STRING'"
        if self.field.type == "string" and self.field.required:
            return f"{text} AND char_length({self.value}) BETWEEN 1 AND {MAX_IDENTIFIER_CHARACTERS}"
        number = f"try_cast({self.raw} AS DOUBLE)"
        return {
            "string": text,
            "timestamp": f"{text} AND unix_micros({self.value}) >= 0",
            "double": f"{_is_number(self.kind)} AND {_is_finite(self.value)}",
            "bigint": f"{_is_number(self.kind)} AND {number} = {self.value} "
            f"AND {self.value} BETWEEN 0 AND {MAX_TOKENS}",
        }[self.field.type]

    @property
    def complaint(self) -> str:
        """What is wrong if it is not good, in words."""
        expected = _EXPECTED[self.field.values or self.field.type]
        if self.field.required and self.field.type == "string":
            expected = f"a text of 1 to {MAX_IDENTIFIER_CHARACTERS} characters"
        if self.field.allowed:
            expected = f"one of {', '.join(self.field.allowed)}"
        return f"the field {self.field.json} must be {expected}"


def first_missing(fields: Iterable[CheckedField]) -> str:
    """The first required field that is not there, in words; null if all are."""
    cases = (f"WHEN {f.is_absent} THEN 'the field {f.field.json} is missing'" for f in fields if f.field.required)
    return f"CASE {' '.join(cases)} END"


def first_bad(fields: Iterable[CheckedField]) -> str:
    """The first field that holds what it may not, in words; null if there is none."""
    cases = (f"WHEN NOT {f.is_absent} AND NOT coalesce({f.is_good}, false) THEN '{f.complaint}'" for f in fields)
    return f"CASE {' '.join(cases)} END"


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _is_number(kind: str) -> str:
    return f"({kind} IN ('BIGINT', 'DOUBLE') OR startswith({kind}, 'DECIMAL'))"


def _is_finite(value: str) -> str:
    return f"abs({value}) <= {_LARGEST}"


_INSIDE = "schema_of_variant(x)"
_FINITE_INSIDE = f"({_is_number(_INSIDE)} AND {_is_finite('try_cast(x AS DOUBLE)')})"
_GOOD_INSIDE = {
    STRING: f"{_INSIDE} = 'STRING'",
    NUMBER: _FINITE_INSIDE,
    SCALAR: f"({_FINITE_INSIDE} OR {_INSIDE} IN ('STRING', 'BOOLEAN', 'VOID'))",
}
