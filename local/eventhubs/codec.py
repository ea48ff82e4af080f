"""AMQP 1.0 types, to bytes and back. Pure.

Encoders return bytes, and composite ones take items that are encoded already. Two encodings that the standard allows
are never written, because the SDK's decoder does not know them: the empty list ``0x45`` and lists without their
trailing nulls (the callers pass every field).

References: OASIS AMQP 1.0, part 1 (types).
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pegel.local.eventhubs.conditions import MalformedError

Buffer = bytes | memoryview

NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"
_MAX_DEPTH = 16
"""Values nest at most this deep: a hostile frame must not exhaust the interpreter's stack."""


class Symbol(str):
    """An AMQP symbol; it compares equal to the plain string."""

    __slots__ = ()


class Described(NamedTuple):
    """A value with a descriptor."""

    descriptor: Any
    value: Any


def boolean(value: bool) -> bytes:
    """A boolean."""
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    """An unsigned 8-bit integer."""
    return b"\x50" + value.to_bytes(1, "big")


def ushort(value: int) -> bytes:
    """An unsigned 16-bit integer."""
    return b"\x60" + value.to_bytes(2, "big")


def uint(value: int) -> bytes:
    """An unsigned 32-bit integer."""
    return b"\x52" + value.to_bytes(1, "big") if value < 256 else b"\x70" + value.to_bytes(4, "big")


def ulong(value: int) -> bytes:
    """An unsigned 64-bit integer."""
    return b"\x53" + value.to_bytes(1, "big") if value < 256 else b"\x80" + value.to_bytes(8, "big")


def int32(value: int) -> bytes:
    """A signed 32-bit integer."""
    return b"\x71" + value.to_bytes(4, "big", signed=True)


def long(value: int) -> bytes:
    """A signed 64-bit integer."""
    return b"\x81" + value.to_bytes(8, "big", signed=True)


def timestamp(milliseconds: int) -> bytes:
    """A moment, in milliseconds since 1970 UTC."""
    return b"\x83" + milliseconds.to_bytes(8, "big", signed=True)


def uuid(value: UUID) -> bytes:
    """A UUID."""
    return b"\x98" + value.bytes


def binary(value: bytes) -> bytes:
    """A sequence of bytes."""
    return _variable(0xA0, value)


def string(value: str) -> bytes:
    """A Unicode string."""
    return _variable(0xA1, value.encode())


def symbol(value: str) -> bytes:
    """A symbol, ASCII only."""
    return _variable(0xA3, value.encode("ascii"))


def _variable(small: int, value: bytes) -> bytes:
    if len(value) < 256:
        return bytes((small, len(value))) + value
    return struct.pack(">BI", small | 0x10, len(value)) + value


def sequence(items: Sequence[bytes]) -> bytes:
    """A list of encoded items."""
    return _compound(0xC0, len(items), b"".join(items))


def mapping(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A map of encoded keys and values."""
    items = [item for pair in pairs for item in pair]
    return _compound(0xC1, len(items), b"".join(items))


def raw_mapping(count: int, items: bytes) -> bytes:
    """A map from ``count`` keys and values that already lie one after the other."""
    return _compound(0xC1, count, items)


def _compound(small: int, count: int, items: bytes) -> bytes:
    if len(items) < 255 and count < 256:
        return bytes((small, len(items) + 1, count)) + items
    return struct.pack(">BII", small | 0x10, len(items) + 4, count) + items


def strings(values: Sequence[str], constructor: int = 0xB1) -> bytes:
    """An array of strings, or of symbols with ``constructor`` 0xb3."""
    items = b"".join(struct.pack(">I", len(raw)) + raw for raw in (value.encode() for value in values))
    return struct.pack(">BIIB", 0xF0, len(items) + 5, len(values), constructor) + items


def symbols(values: Sequence[str]) -> bytes:
    """An array of symbols."""
    return strings(values, 0xB3)


def described(code: int, value: bytes) -> bytes:
    """An encoded value under a numeric descriptor, always in the short form that the SDK expects."""
    return bytes((0x00, 0x53, code)) + value


_FIXED: dict[int, tuple[str, Callable[[Any], Any] | None]] = {
    0x50: (">B", None), 0x51: (">b", None), 0x52: (">B", None), 0x53: (">B", None), 0x54: (">b", None),
    0x55: (">b", None), 0x56: (">B", bool), 0x60: (">H", None), 0x61: (">h", None), 0x70: (">I", None),
    0x71: (">i", None), 0x72: (">f", None), 0x73: (">4s", None), 0x74: (">4s", None), 0x80: (">Q", None),
    0x81: (">q", None), 0x82: (">d", None), 0x83: (">q", None), 0x84: (">8s", None), 0x94: (">16s", None),
    0x98: (">16s", lambda raw: UUID(bytes=raw)),
}  # fmt: skip
_EMPTY: dict[int, Any] = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0}
_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_TEXT: dict[int, Callable[[bytes], Any]] = {
    0xA0: bytes,
    0xA1: lambda raw: raw.decode(),
    0xA3: lambda raw: Symbol(raw.decode("ascii")),
}


def end_of(buffer: Buffer, position: int, depth: int = 0) -> int:
    """Where the value that starts at ``position`` ends, without decoding it.

    Raises:
        MalformedError: if the value does not end inside the buffer.
    """
    if position >= len(buffer) or depth > _MAX_DEPTH:
        raise MalformedError("a value is cut off or nested too deep")
    constructor = buffer[position]
    kind = constructor >> 4
    if constructor == 0:
        end = end_of(buffer, end_of(buffer, position + 1, depth + 1), depth + 1)
    elif kind in _WIDTHS:
        end = position + 1 + _WIDTHS[kind]
    elif kind in (0xA, 0xC, 0xE):
        end = position + 2 + (buffer[position + 1] if position + 1 < len(buffer) else 0)
    elif kind in (0xB, 0xD, 0xF):
        end = position + 5 + int.from_bytes(buffer[position + 1 : position + 5], "big")
    else:
        raise MalformedError(f"0x{constructor:02x} is not a constructor")
    if end > len(buffer):
        raise MalformedError("a value is cut off")
    return end


def decode(buffer: Buffer, position: int = 0, depth: int = 0) -> tuple[Any, int]:
    """The value that starts at ``position``, and where it ends.

    Integers and timestamps come as ``int``, symbols as :class:`Symbol`, char and decimals as their bytes.

    Raises:
        MalformedError: if the bytes are no AMQP value.
    """
    end = end_of(buffer, position, depth)
    constructor = buffer[position]
    try:
        if constructor == 0:
            descriptor, middle = decode(buffer, position + 1, depth + 1)
            value, end = decode(buffer, middle, depth + 1)
            return Described(descriptor, value), end
        if constructor == 0x45:
            return [], end
        if constructor in _EMPTY:
            return _EMPTY[constructor], end
        if constructor >> 4 >= 0xC:
            return _decode_compound(buffer, position, end, depth), end
        return _decode_scalar(constructor, bytes(buffer[position + 1 : end])), end
    except (KeyError, TypeError, UnicodeDecodeError, struct.error) as error:
        raise MalformedError(f"a value of constructor 0x{constructor:02x} cannot be read") from error


def _decode_scalar(constructor: int, raw: bytes) -> Any:
    if constructor >> 4 in (0xA, 0xB):
        return _TEXT[constructor & 0xEF](raw[1:] if constructor >> 4 == 0xA else raw[4:])
    layout, convert = _FIXED[constructor]
    value = struct.unpack(layout, raw)[0]
    return convert(value) if convert else value


def items_of(buffer: Buffer, position: int) -> tuple[int, int]:
    """The count of a list, map or array that starts at ``position``, and where its first item starts."""
    wide = 4 if buffer[position] >> 4 in (0xD, 0xF) else 1
    start = position + 1 + 2 * wide
    if start > len(buffer):
        raise MalformedError("a compound value is cut off")
    return int.from_bytes(buffer[start - wide : start], "big"), start


def _decode_compound(buffer: Buffer, position: int, end: int, depth: int) -> Any:
    constructor = buffer[position]
    count, at = items_of(buffer, position)
    if count > end - at and count:
        # An array of zero-width items could claim billions of them in five bytes.
        raise MalformedError("a compound value claims more items than it has bytes")
    values = []
    if constructor & 0xEF == 0xE0:
        return _decode_array(buffer, at, end, count)
    for _ in range(count):
        value, at = decode(buffer, at, depth + 1)
        values.append(value)
    if at > end:
        raise MalformedError("an item reaches beyond its list")
    if constructor & 0xEF == 0xC0:
        return values
    if count % 2:
        raise MalformedError("a map has a key without a value")
    return dict(zip(values[::2], values[1::2], strict=True))


def _decode_array(buffer: Buffer, at: int, end: int, count: int) -> list[Any]:
    if not count:
        return []
    constructor, kind = buffer[at], buffer[at] >> 4
    if kind not in (0x5, 0x6, 0x7, 0x8, 0x9, 0xA, 0xB):
        raise MalformedError(
            "an array of anything but fixed-width values, strings, symbols and binaries is not read here"
        )
    at += 1
    values = []
    for _ in range(count):
        if kind == 0xA:
            width = 1 + int.from_bytes(buffer[at : at + 1], "big")
        elif kind == 0xB:
            width = 4 + int.from_bytes(buffer[at : at + 4], "big")
        else:
            width = _WIDTHS[kind]
        values.append(_decode_scalar(constructor, bytes(buffer[at : min(at + width, end)])))
        at += width
    if at > end:
        raise MalformedError("an item reaches beyond its array")
    return values
