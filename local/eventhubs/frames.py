"""AMQP 1.0 frames: performatives that came in, and the bytes of those that go out. Pure.

The SDK reads the fields of a performative by position and does not pad, so every performative that is written here has
all of its fields, trailing nulls included.

References: OASIS AMQP 1.0, part 2 (transport) and part 5 (security).
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from pegel.local.eventhubs import codec
from pegel.local.eventhubs.codec import FALSE, NULL, TRUE, Buffer
from pegel.local.eventhubs.conditions import MalformedError

SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"
WINDOW = 0x7FFFFFFF
"""The session window that is offered: transfers are taken as fast as the log writes them, so it never closes."""

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44


class Open(NamedTuple):
    """The first performative of a connection; times in milliseconds."""

    container_id: str | None = None
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    idle_time_out: int | None = None


class Begin(NamedTuple):
    """The start of a session."""

    remote_channel: int | None = None
    next_outgoing_id: int | None = None
    incoming_window: int | None = None
    outgoing_window: int | None = None


class Attach(NamedTuple):
    """The start of a link. ``role`` is true if the peer receives."""

    name: str | None = None
    handle: int | None = None
    role: bool | None = None
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Any = None
    target: Any = None
    unsettled: Any = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Flow(NamedTuple):
    """Windows of a session, and the credit of a link if ``handle`` is there."""

    next_incoming_id: int | None = None
    incoming_window: int | None = None
    next_outgoing_id: int | None = None
    outgoing_window: int | None = None
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool | None = None
    echo: bool | None = None


class Transfer(NamedTuple):
    """A message or a piece of one; the payload follows it in the frame."""

    handle: int | None = None
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: int | None = None
    state: Any = None
    resume: bool | None = None
    aborted: bool | None = None


class Detach(NamedTuple):
    """The end of a link."""

    handle: int | None = None
    closed: bool | None = None
    error: Any = None


class Other(NamedTuple):
    """A performative of which the code alone matters here."""


Performative = Open | Begin | Attach | Flow | Transfer | Detach | Other

_KINDS: dict[int, type[Performative]] = {
    OPEN: Open,
    BEGIN: Begin,
    ATTACH: Attach,
    FLOW: Flow,
    TRANSFER: Transfer,
    DETACH: Detach,
}


def parse(body: Buffer) -> tuple[int, Performative, int]:
    """The code, the fields and the end of the performative that a frame's body starts with.

    Raises:
        MalformedError: if there is none.
    """
    described, end = codec.decode(body)
    if not isinstance(described, codec.Described) or not isinstance(described.value, list):
        raise MalformedError("a frame does not start with a performative")
    kind = _KINDS.get(described.descriptor, Other)
    known = described.value[: len(kind._fields)]
    return described.descriptor, kind(*known), end


def raw_fields(body: Buffer, count: int) -> list[bytes]:
    """The first ``count`` fields of a performative as they were encoded, to be echoed without loss."""
    start = codec.end_of(body, 1)
    present, at = (0, start) if body[start] == 0x45 else codec.items_of(body, start)
    fields = []
    for _ in range(min(present, count)):
        end = codec.end_of(body, at)
        fields.append(bytes(body[at:end]))
        at = end
    return fields + [NULL] * (count - len(fields))


def frame(channel: int, body: bytes, kind: int = 0) -> bytes:
    """A whole frame; ``kind`` 1 is SASL."""
    return struct.pack(">IBBH", 8 + len(body), 2, kind, channel) + body


def performative(channel: int, code: int, fields: Sequence[bytes], kind: int = 0) -> bytes:
    """A frame that holds one performative."""
    return frame(channel, codec.described(code, codec.sequence(fields)), kind)


def error(condition: str, description: str) -> bytes:
    """An error with all three fields; the SDK hangs on a shorter one."""
    fields = [codec.symbol(condition), codec.string(description), NULL]
    return codec.described(0x1D, codec.sequence(fields))


def sasl_mechanisms() -> bytes:
    """The offer of ANONYMOUS: the token comes later, over ``$cbs``."""
    return performative(0, SASL_MECHANISMS, [codec.symbols(["ANONYMOUS"])], kind=1)


def sasl_outcome() -> bytes:
    """Success."""
    return performative(0, SASL_OUTCOME, [codec.ubyte(0), NULL], kind=1)


def opened(*, container: str, max_frame_size: int, channel_max: int, idle_ms: int) -> bytes:
    """The server's open."""
    fields = [codec.string(container), NULL, codec.uint(max_frame_size), codec.ushort(channel_max)]
    return performative(0, OPEN, [*fields, codec.uint(idle_ms), *[NULL] * 5])


def begun(channel: int) -> bytes:
    """The server's begin; it uses the client's channel number as its own."""
    fields = [codec.ushort(channel), codec.uint(0), codec.uint(WINDOW), codec.uint(WINDOW), codec.uint(255)]
    return performative(channel, BEGIN, [*fields, NULL, NULL, NULL])


def attached(channel: int, attach: Attach, body: Buffer, *, max_message_size: int) -> bytes:
    """The answer to an attach: the opposite role, and the client's own source and target echoed."""
    raw = raw_fields(body, 7)
    sends = bool(attach.role)
    fields = [raw[0], raw[1], codec.boolean(not sends), codec.ubyte(1) if sends else raw[3], raw[4], raw[5], raw[6]]
    count = codec.uint(0) if sends else NULL
    return performative(channel, ATTACH, [*fields, NULL, FALSE, count, codec.ulong(max_message_size), *[NULL] * 3])


def attach_refused(channel: int, attach: Attach, body: Buffer) -> bytes:
    """The answer to an attach that will be detached at once: without source and target."""
    raw = raw_fields(body, 2)
    fields = [*raw, codec.boolean(not attach.role), *[NULL] * 6, codec.uint(0), *[NULL] * 4]
    return performative(channel, ATTACH, fields)


def flowed(channel: int, *, next_in: int, next_out: int, handle: int, delivery_count: int, credit: int) -> bytes:
    """Credit for the client's link ``handle``."""
    windows = [codec.uint(next_in), codec.uint(WINDOW), codec.uint(next_out), codec.uint(WINDOW)]
    link = [codec.uint(handle), codec.uint(delivery_count), codec.uint(credit)]
    return performative(channel, FLOW, [*windows, *link, NULL, FALSE, FALSE, NULL])


def accepted(channel: int, delivery_id: int) -> bytes:
    """The message is on the log."""
    return _settled(channel, delivery_id, codec.described(0x24, codec.sequence([])))


def rejected(channel: int, delivery_id: int, condition: str, description: str) -> bytes:
    """The message is not on the log."""
    return _settled(channel, delivery_id, codec.described(0x25, codec.sequence([error(condition, description)])))


def _settled(channel: int, delivery_id: int, state: bytes) -> bytes:
    number = codec.uint(delivery_id)
    return performative(channel, DISPOSITION, [TRUE, number, number, TRUE, state, FALSE])


def detached(channel: int, handle: int, failure: bytes = NULL) -> bytes:
    """The link is closed."""
    return performative(channel, DETACH, [codec.uint(handle), TRUE, failure])


def ended(channel: int, failure: bytes = NULL) -> bytes:
    """The session is over."""
    return performative(channel, END, [failure])


def closed(failure: bytes = NULL) -> bytes:
    """The connection is over."""
    return performative(0, CLOSE, [failure])


# A transfer's eleven fields in fixed widths: handle, delivery-id, tag (the delivery-id again), format 0, settled, more,
# and five nulls. One pack per message instead of a dozen small ones.
_TRANSFER = struct.Struct(">IBBH3sBBBBIBIBBIBBB5s")
TRANSFER_OVERHEAD = _TRANSFER.size


def transfers(channel: int, handle: int, delivery_id: int, payload: bytes, max_frame_size: int) -> list[bytes]:
    """One settled message as one or more frames, none longer than ``max_frame_size``.

    The SDK takes the delivery id from every frame, so it is repeated.
    """
    room = max_frame_size - TRANSFER_OVERHEAD
    pieces = [payload] if len(payload) <= room else [payload[at : at + room] for at in range(0, len(payload), room)]
    last = len(pieces) - 1
    frames = []
    for number, piece in enumerate(pieces):
        head = _TRANSFER.pack(
            TRANSFER_OVERHEAD + len(piece), 2, 0, channel, b"\x00\x53\x14", 0xC0, 25, 11, 0x70, handle,
            0x70, delivery_id, 0xA0, 4, delivery_id, 0x43, 0x41, 0x42 if number == last else 0x41, b"\x40" * 5,
        )  # fmt: skip
        frames.append(head + piece)
    return frames
