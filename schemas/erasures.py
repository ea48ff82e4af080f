"""What it means to erase a person's events: who is meant, what is kept of an erased row, and the table of these. Pure.

Of an erased row its place in the hub stays, since sums must still hold, and a digest of its key, since a copy of it
must not be stored again. The digest is SHA-256 over the erasure's id, the event's id and its time: whoever knows an
event's id and time can confirm that it was erased, and nobody can read an id from it that could not be guessed.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel.errors import SettingsError
from pegel.schemas.columns import Column, Table

ERASABLE = ("predictions", "feedback", "dead_letters")
"""The tables that hold events, in the order in which rows are erased."""

ERASURES = Table(
    "erasures",
    "a row that was erased: where it lay, so that sums still hold, and what tells a copy of it",
    ("erasure_id", "table_name", "hub", "partition", "offset", "batch_id"),
    "stream",
    (
        Column("erasure_id", "string", "of the request", nullable=False),
        Column("table_name", "string", "predictions, feedback or dead_letters", nullable=False),
        Column("batch_id", "bigint", "the micro-batch that had stored it", nullable=False),
        Column("hub", "string", "the event hub (Kafka topic) it came from", nullable=False),
        Column("partition", "string", "partition of the hub", nullable=False),
        Column("offset", "bigint", "sequence number in the partition", nullable=False),
        Column("time", "timestamp", "event time or feedback time; null for a dead letter"),
        Column("digest", "string", "SHA-256 of erasure, id and time; null for a dead letter"),
        Column("at", "timestamp", "when it was marked", nullable=False),
    ),
)

_COLUMNS = ("event_id", "trace_id", "source")
_MAPS = ("segments", "features", "extra")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_DEAD_LETTER_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is meant: the events in which a field has a value.

    Attributes:
        column: ``event_id``, ``trace_id`` or ``source``, or a map: ``segments``, ``features`` or ``extra``.
        name: the name in the map; empty for a plain column.
        value: what stands there, after masking.
    """

    column: str
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}{'.' if self.name else ''}{self.name}={self.value}"

    @property
    def is_map(self) -> bool:
        """Whether the column is a map."""
        return self.column in _MAPS

    def in_text(self) -> Callable[[str], bool]:
        """What says whether a text that may be no JSON, a dead letter's body, holds the value as a word of its own.

        Values of less than three characters are not looked for there: they would be found in nearly all.

        Example:
            >>> holds = Subject("segments", "user", "alice").in_text()
            >>> holds('{"user": "alice"'), holds('{"user": "alice2"}')
            (True, False)
        """
        if len(self.value) < _MIN_DEAD_LETTER_CHARACTERS:
            return lambda _: False
        spelled = {self.value, json.dumps(self.value)[1:-1]}
        words = "|".join(re.escape(text) for text in sorted(spelled))
        pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")
        return lambda text: pattern.search(text) is not None


def parse_subject(text: str) -> Subject:
    """Read ``FIELD=VALUE``.

    Raises:
        SettingsError: if there is no such field, or no value.

    Example:
        >>> parse_subject("segments.user=alice")
        Subject(column='segments', name='user', value='alice')
        >>> str(parse_subject("event_id=e-1=2"))
        'event_id=e-1=2'
    """
    field, _, value = text.partition("=")
    column, _, name = field.partition(".")
    if value and ((column in _COLUMNS and not name) or (column in _MAPS and name)):
        return Subject(column, name, value)
    fields = ", ".join((*_COLUMNS, *(f"{name}.NAME" for name in _MAPS)))
    # The text may hold whom it is about.
    msg = f"the subject of an erasure must be FIELD=VALUE, where FIELD is one of {fields}"
    raise SettingsError(msg)


def digest_of(erasure_id: str, event_id: str, time: datetime) -> str:
    """What is kept of the key of an erased event, 64 hexadecimal digits.

    Example:
        >>> digest_of("a", "b", datetime(1970, 1, 1, tzinfo=UTC)) == hashlib.sha256(b'["a","b",0]').hexdigest()
        True
    """
    micros = (time - _EPOCH) // timedelta(microseconds=1)
    return hashlib.sha256(json.dumps([erasure_id, event_id, micros], separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """A request to erase, as it is filed; it is deleted when it has been carried out.

    Attributes:
        erasure_id: made when it was filed.
        subjects: whose events: those that any of these means.
        actor: who asked.
        reason: why, in words; no name of the person.
        filed_at: when.
    """

    erasure_id: str
    subjects: tuple[Subject, ...]
    actor: str
    reason: str
    filed_at: datetime

    def to_json(self) -> str:
        """As it is filed."""
        content = {
            "erasure_id": self.erasure_id,
            "subjects": [str(subject) for subject in self.subjects],
            "actor": self.actor,
            "reason": self.reason,
            "filed_at": self.filed_at.isoformat(),
        }
        return json.dumps(content)


def read_request(content: Mapping[str, Any]) -> ErasureRequest:
    """The request that :meth:`ErasureRequest.to_json` wrote."""
    return ErasureRequest(
        content["erasure_id"],
        tuple(parse_subject(text) for text in content["subjects"]),
        content["actor"],
        content["reason"],
        datetime.fromisoformat(content["filed_at"]),
    )
