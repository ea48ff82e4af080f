"""What a value of an event may be, as SQL text over its variant. Pure.

Each value comes as a variant, which remembers what was written: 5 and "5" differ, and so do null and nothing. What is
built here never holds text from outside, only names of ``schemas.events``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pegel.schemas.events import (
    BAD_VALUE,
    MAX_TOKENS,
    NOT_FINITE,
    NUMBER,
    SCALAR,
    STRING,
    TOO_LONG,
    EventField,
)
from pegel.streaming.profile.column_sql import quoted

RECORD = "record"
"""Column that says which kind of event a row is: one of the keys of ``EventContract.fields``, by its hub."""

RFC_3339 = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.]\d{1,9})?(?:Z|[+-]\d{2}:\d{2})"
"""A time with an offset, as a regular expression; Spark alone would also take one without, a date, or seconds."""
_LARGEST = "1.7976931348623157E308D"

_EXPECTED = {
    "string": "a text",
    "timestamp": "a time with an offset, such as 2026-11-25T03:00:00.123456Z",
    "double": "a finite number",
    "bigint": f"a whole number from 0 to {MAX_TOKENS}",
    STRING: "an object of texts",
    NUMBER: "an object of finite numbers",
    SCALAR: "an object of texts, finite numbers, booleans and nulls",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What can be wrong with a value: the reason code, the same in words, and SQL for when it is so, '' for always."""

    reason: str
    words: str
    condition: str

    @property
    def struct(self) -> str:
        """SQL for ``STRUCT<reason, detail>``."""
        return f"named_struct('reason', '{self.reason}', 'detail', '{self.words}')"


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
            return f"CASE WHEN {text} RLIKE {_WHOLE_TIME} THEN try_cast({text} AS TIMESTAMP) END"
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
        number = f"try_cast({self.raw} AS DOUBLE)"
        return {
            "string": f"{text}{self._is_of_length}",
            "timestamp": f"{text} AND {self.value} IS NOT NULL",
            "double": f"{_is_number(self.kind)} AND {_is_finite(self.value)}",
            "bigint": f"{_is_number(self.kind)} AND {number} = {self.value} "
            f"AND {self.value} BETWEEN 0 AND {MAX_TOKENS}",
        }[self.field.type]

    @property
    def fault(self) -> str:
        """SQL for ``STRUCT<reason, detail>``: what is wrong if it is not good."""
        faults = [
            *self._special_faults(),
            Fault(BAD_VALUE, f"the field {self.field.json} must be {self._expected}", ""),
        ]
        *special, otherwise = faults
        if not special:
            return otherwise.struct
        cases = (f"WHEN {fault.condition} THEN {fault.struct}" for fault in special)
        return f"CASE {' '.join(cases)} ELSE {otherwise.struct} END"

    @property
    def is_in_all_versions(self) -> bool:
        """Whether every version of the event has it."""
        return self.field.since <= 1 and self.field.until is None

    def is_in_version(self, version: int) -> bool:
        """Whether this version of the event has it."""
        return self.field.since <= version <= (self.field.until or version)

    def is_in(self, version: str) -> str:
        """SQL for the same, of a version that is SQL itself."""
        until = "" if self.field.until is None else f" AND {version} <= {self.field.until}"
        return f"({version} >= {self.field.since}{until})"

    @property
    def _is_of_length(self) -> str:
        longest = self.field.max_characters
        if longest is None:
            return ""
        return f" AND char_length({self.value}) BETWEEN {int(self.field.required)} AND {longest}"

    @property
    def _expected(self) -> str:
        if self.field.allowed:
            return f"one of {', '.join(self.field.allowed)}"
        if self.field.type == "string" and self.field.max_characters is not None:
            return f"a text of {int(self.field.required)} to {self.field.max_characters} characters"
        return _EXPECTED[self.field.values or self.field.type]

    def _special_faults(self) -> list[Fault]:
        name, longest = self.field.json, self.field.max_characters
        if longest is not None:
            too_long = f"{self.kind} = 'STRING' AND char_length({self.value}) > {longest}"
            return [Fault(TOO_LONG, f"the field {name} has more than {longest} characters", too_long)]
        if self.field.values in _FINITE_OR_NOT:
            inner = f"map_values(try_cast({self.raw} AS MAP<STRING, VARIANT>))"
            not_finite = f"forall({inner}, x -> {_FINITE_OR_NOT[self.field.values]})"
        elif self.field.type in {"double", "bigint"}:
            not_finite = f"{_is_number(self.kind)} AND NOT ({_is_finite(f'try_cast({self.raw} AS DOUBLE)')})"
        else:
            return []
        return [Fault(NOT_FINITE, f"the field {name} holds a number that no double holds", not_finite)]


def first_missing(fields: Iterable[tuple[CheckedField, str | None]]) -> str:
    """The first required field that is not there, in words; null if all are.

    Args:
        fields: each with SQL for whether the event's version has it; None for always.
    """
    cases = (
        f"WHEN {'' if applies is None else f'{applies} AND '}{f.is_absent} THEN 'the field {f.field.json} is missing'"
        for f, applies in fields
        if f.field.required
    )
    return f"CASE {' '.join(cases)} END"


def first_bad(fields: Iterable[CheckedField]) -> str:
    """The first field that holds what it may not, as ``STRUCT<reason, detail>``; null if there is none."""
    cases = (f"WHEN NOT {f.is_absent} AND NOT coalesce({f.is_good}, false) THEN {f.fault}" for f in fields)
    return f"CASE {' '.join(cases)} END"


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _is_number(kind: str) -> str:
    return f"({kind} IN ('BIGINT', 'DOUBLE') OR startswith({kind}, 'DECIMAL'))"


def _is_finite(value: str) -> str:
    return f"abs({value}) <= {_LARGEST}"


# Java's $ would also stand before a line end.
_WHOLE_TIME = quoted(rf"^{RFC_3339}\z")
_INSIDE = "schema_of_variant(x)"
_FINITE_INSIDE = f"({_is_number(_INSIDE)} AND {_is_finite('try_cast(x AS DOUBLE)')})"
_GOOD_INSIDE = {
    STRING: f"{_INSIDE} = 'STRING'",
    NUMBER: _FINITE_INSIDE,
    SCALAR: f"({_FINITE_INSIDE} OR {_INSIDE} IN ('STRING', 'BOOLEAN', 'VOID'))",
}
_FINITE_OR_NOT = {
    NUMBER: _is_number(_INSIDE),
    SCALAR: f"({_is_number(_INSIDE)} OR {_INSIDE} IN ('STRING', 'BOOLEAN', 'VOID'))",
}
