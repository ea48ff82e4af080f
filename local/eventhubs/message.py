"""Messages: their sections, the batch format, and the form in which an event is stored and delivered. Pure.

An event is stored as it will be delivered: the sender's sections as they came, with the hub's annotations merged in.
Nothing that the sender wrote is decoded and encoded again, so every type survives.

References: OASIS AMQP 1.0, part 3 (messaging).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pegel.local.eventhubs import codec
from pegel.local.eventhubs.codec import NULL, Buffer
from pegel.local.eventhubs.conditions import MalformedError

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)

BATCH_FORMAT = 0x80013700
"""The message format of a transfer whose data sections are whole messages."""

_SEQUENCE_NUMBER, _OFFSET, _ENQUEUED_TIME = "x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time"
_PARTITION_KEY = "x-opt-partition-key"
_RESERVED = frozenset({_SEQUENCE_NUMBER, _OFFSET, _ENQUEUED_TIME, _PARTITION_KEY})
"""Annotations of the hub: what a sender put under these names is dropped (the key is set again)."""


class Section(NamedTuple):
    """A section of a message: its code, and where it, its value and its end lie in the buffer."""

    code: int
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the hub adds to an event: number, position in the log, time in milliseconds since 1970 UTC, key."""

    sequence: int
    offset: str
    enqueued_ms: int
    key: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """A call to ``$cbs`` or ``$management``; ``message_id`` is encoded as it came, so that it keeps its type."""

    message_id: bytes
    properties: dict[str, Any]
    body: Any


def sections(message: Buffer) -> Iterator[Section]:
    """The sections in the order in which they came; the SDK writes delivery annotations last.

    Raises:
        MalformedError: if the message is not made of sections.
    """
    at = 0
    while at < len(message):
        if message[at] != 0:
            raise MalformedError("a message is not made of sections")
        code, value = codec.decode(message, at + 1)
        if not isinstance(code, int) or not HEADER <= code <= FOOTER:
            raise MalformedError("a message has a section that AMQP does not know")
        end = codec.end_of(message, value)
        yield Section(code, at, value, end)
        at = end


def split_batch(envelope: bytes) -> list[bytes]:
    """The messages of a transfer in the batch format.

    Raises:
        MalformedError: if a data section is no binary.
    """
    messages = []
    for section in sections(envelope):
        if section.code == DATA:
            value, _ = codec.decode(envelope, section.value)
            if not isinstance(value, bytes):
                raise MalformedError("a batch holds a data section that is no binary")
            messages.append(value)
    return messages


def partition_key(message: bytes) -> str | None:
    """The sender's partition key, if there is one."""
    for section in sections(message):
        if section.code == MESSAGE_ANNOTATIONS:
            annotations, _ = codec.decode(message, section.value)
            key = annotations.get(_PARTITION_KEY) if isinstance(annotations, dict) else None
            return key if isinstance(key, str) and key else None
    return None


def delivered(message: bytes, stamp: Stamp) -> bytes:
    """The event as receivers get it: the sender's sections in the standard's order, with the stamp's annotations."""
    parts: dict[int, list[bytes]] = {}
    count, kept = 0, b""
    for section in sections(message):
        if section.code == MESSAGE_ANNOTATIONS:
            count, kept = _own_annotations(message, section.value)
        else:
            parts.setdefault(section.code, []).append(message[section.start : section.end])
    added = [
        codec.symbol(_SEQUENCE_NUMBER), codec.long(stamp.sequence),
        codec.symbol(_OFFSET), codec.string(stamp.offset),
        codec.symbol(_ENQUEUED_TIME), codec.timestamp(stamp.enqueued_ms),
    ]  # fmt: skip
    if stamp.key is not None:
        added += [codec.symbol(_PARTITION_KEY), codec.string(stamp.key)]
    annotations = codec.raw_mapping(count + len(added), kept + b"".join(added))
    parts[MESSAGE_ANNOTATIONS] = [codec.described(MESSAGE_ANNOTATIONS, annotations)]
    return b"".join(piece for code in sorted(parts) for piece in parts[code])


def _own_annotations(message: bytes, at: int) -> tuple[int, bytes]:
    """The sender's annotations as they were encoded, without those of the hub: items, and their bytes."""
    if message[at] not in (0xC1, 0xD1):
        raise MalformedError("message annotations are no map")
    claimed, at = codec.items_of(message, at)
    count, kept = 0, []
    for _ in range(claimed // 2):
        key, middle = codec.decode(message, at)
        end = codec.end_of(message, middle)
        if key not in _RESERVED:
            kept.append(message[at:end])
            count += 2
        at = end
    return count, b"".join(kept)


def with_runtime_metric(event: bytes, last: Stamp, now_ms: int) -> bytes:
    """The event with the partition's end in its delivery annotations, for receivers that track it."""
    annotations = codec.mapping(
        [
            (codec.symbol("last_enqueued_sequence_number"), codec.long(last.sequence)),
            (codec.symbol("last_enqueued_offset"), codec.string(last.offset)),
            (codec.symbol("last_enqueued_time_utc"), codec.timestamp(last.enqueued_ms)),
            (codec.symbol("runtime_info_retrieval_time_utc"), codec.timestamp(now_ms)),
        ]
    )
    section = codec.described(DELIVERY_ANNOTATIONS, annotations)
    header = rest = b""
    for found in sections(event):
        if found.code == HEADER:
            header = event[: found.end]
        elif found.code > DELIVERY_ANNOTATIONS:
            rest = event[found.start :]
            break
    return header + section + rest


def read_request(message: bytes) -> Request:
    """A request to ``$cbs`` or ``$management``."""
    message_id, body = NULL, None
    properties: Any = {}
    for section in sections(message):
        if section.code == PROPERTIES and message[section.value] in (0xC0, 0xD0):
            count, at = codec.items_of(message, section.value)
            message_id = message[at : codec.end_of(message, at)] if count else NULL
        elif section.code == APPLICATION_PROPERTIES:
            properties, _ = codec.decode(message, section.value)
        elif section.code == VALUE:
            body, _ = codec.decode(message, section.value)
    if not isinstance(properties, dict):
        raise MalformedError("application properties are no map")
    return Request(message_id, properties, body)


def response(request: Request, status: int, description: str, body: bytes = NULL) -> bytes:
    """The answer to a request; ``body`` is an encoded value."""
    properties = codec.sequence([NULL] * 5 + [request.message_id])
    outcome = codec.mapping(
        [
            (codec.string("status-code"), codec.int32(status)),
            (codec.string("status-description"), codec.string(description)),
        ]
    )
    return b"".join(
        (
            codec.described(PROPERTIES, properties),
            codec.described(APPLICATION_PROPERTIES, outcome),
            codec.described(VALUE, body),
        )
    )
