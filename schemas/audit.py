"""What an audit record is, and how its chain shows that nobody changed it afterwards. Pure.

A writer's records are numbered from 0 and each carries the hash of the one before, so a change anywhere changes every
hash after it. Whoever can write the table can also compute new hashes; against that, hashes are kept elsewhere: an
:class:`Anchor` is the number and hash of a record as it was sent away at some moment. What happened to records after
the last anchor cannot be found, if it was done with care.

A hash is SHA-256 over the UTF-8 of the record as canonical JSON: an array of writer, sequence, time in microseconds
since 1970, actor, action, subject, decision, reason, evidence and previous hash, without blanks, beyond ASCII escaped.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel.schemas.masking import mask

GENESIS = "0" * 64
"""Stands for the hash of the record before the first one."""

WRITER_NAME = r"[a-z][a-z0-9_]{0,39}"
"""What a whole name of a writer is, as a regular expression: it becomes a part of paths and of tags in MLflow."""

MAX_TEXT_CHARACTERS = 500
"""A record holds names, numbers and reasons. What is longer is cut, so that no text of a prompt gets in whole."""

MAX_EVIDENCE_CHARACTERS = 8_000

Head = tuple[int, str]
"""Number and hash of a chain's last record; (-1, :data:`GENESIS`) of one that has none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, before it has its place in a chain.

    Attributes:
        at: when, aware UTC.
        actor: who or what decided or asked.
        action: what was asked for, as ``room.verb``.
        subject: what it is about: a model, an incident, an alert.
        decision: one word: allowed, refused, ignored, promoted, ….
        reason: why, in words.
        evidence: what it rests on, as canonical JSON.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    decision: str
    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A decision in its place.

    Attributes:
        sequence: from 0, without gaps.
        previous_hash: of the record before; :data:`GENESIS` at the first.
        hash: of all this, 64 hexadecimal digits.
    """

    sequence: int
    decided: Decision
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The number and hash of a record, as they were kept elsewhere.

    Attributes:
        source: where, in words, for people.
    """

    sequence: int
    hash: str
    source: str


def decide(
    *, at: datetime, actor: str, action: str, subject: str, decision: str, reason: str, evidence: Mapping[str, Any]
) -> Decision:
    """Clean a decision: secrets and addresses masked, texts cut, evidence as canonical JSON.

    Example:
        >>> at = datetime(2026, 11, 27, tzinfo=UTC)
        >>> decide(at=at, actor="a", action="x.y", subject="s", decision="d", reason="key sk-abcdefghijklmnopqrst1",
        ...        evidence={"n": 3, "x": float("nan")})
        ... # doctest: +ELLIPSIS
        Decision(..., reason='key [secret]', evidence='{"n":3,"x":null}')
    """
    written = _canonical(_plain(evidence))
    if len(written) > MAX_EVIDENCE_CHARACTERS:
        digest = hashlib.sha256(written.encode()).hexdigest()
        written = _canonical({"cut": True, "characters": len(written), "sha256": digest})
    return Decision(
        at.astimezone(UTC), _text(actor), _text(action), _text(subject), _text(decision), _text(reason), written
    )


def chain(writer: str, head: Head, decisions: Iterable[Decision]) -> Iterator[AuditRecord]:
    """Give decisions their places behind ``head``.

    Example:
        >>> at = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
        >>> (record,) = chain("w", (-1, GENESIS), [Decision(at, "a", "x.y", "s", "d", "r", "{}")])
        >>> by_hand = '["w",0,1000000,"a","x.y","s","d","r","{}","' + "0" * 64 + '"]'
        >>> record.sequence, record.hash == hashlib.sha256(by_hand.encode()).hexdigest()
        (0, True)
    """
    sequence, previous = head
    for decided in decisions:
        sequence += 1
        record = AuditRecord(sequence, decided, previous, record_hash(writer, sequence, decided, previous))
        previous = record.hash
        yield record


def record_hash(writer: str, sequence: int, decided: Decision, previous_hash: str) -> str:
    """The hash that a record must carry; its canonical form stands at the top of this module."""
    microseconds = (decided.at - _EPOCH) // timedelta(microseconds=1)
    texts = (decided.actor, decided.action, decided.subject, decided.decision, decided.reason, decided.evidence)
    return hashlib.sha256(_canonical([writer, sequence, microseconds, *texts, previous_hash]).encode()).hexdigest()


def to_row(record: AuditRecord) -> dict[str, Any]:
    """The record as a row of its table."""
    columns = {name: getattr(record.decided, name) for name in Decision.__slots__}
    return {"sequence": record.sequence, **columns, "previous_hash": record.previous_hash, "hash": record.hash}


def from_row(row: Mapping[str, Any]) -> AuditRecord:
    """The record that a row holds, whatever was done to it."""
    decided = Decision(**{name: row[name] for name in Decision.__slots__})
    return AuditRecord(row["sequence"], decided, row["previous_hash"], row["hash"])


def write_head(head: Head) -> str:
    """A head as the text of an anchor.

    Example:
        >>> write_head((7, "ab"))
        '7:ab'
    """
    return f"{head[0]}:{head[1]}"


def read_head(text: str) -> Head | None:
    """The head that :func:`write_head` wrote; None if the text is none."""
    number, _, digest = text.partition(":")
    return (int(number), digest) if number.isdecimal() and number.isascii() and digest else None


def write_heads(heads: Mapping[str, Head]) -> str:
    """The heads of several writers as one short text of JSON.

    Example:
        >>> write_heads({"webhook": (0, "cd"), "serve": (7, "ab")})
        '{"serve":"7:ab","webhook":"0:cd"}'
    """
    return _canonical({writer: write_head(head) for writer, head in heads.items()})


def read_heads(text: str) -> dict[str, Head]:
    """The heads that :func:`write_heads` wrote; what is none is left out."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    written = found.items() if isinstance(found, dict) else ()
    heads = ((writer, read_head(head)) for writer, head in written if isinstance(head, str))
    return {writer: head for writer, head in heads if head is not None}


def _text(value: str) -> str:
    # A lone surrogate is valid JSON and cannot be stored. Masked before it is cut, so that no secret is cut in two.
    clean = mask(str(value)).encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= MAX_TEXT_CHARACTERS else clean[: MAX_TEXT_CHARACTERS - 1] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [_plain(item) for item in items]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return _text(value)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
