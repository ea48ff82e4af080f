"""Which partition a key belongs to: the hash of Event Hubs, bit for bit. Pure.

The SDK's buffered producer routes by the same hash on the client's side, so both ways of sending agree.

References: Bob Jenkins' lookup3 (``hashlittle2``, public domain), with the byte order of the service.
"""

import struct

_MASK = 0xFFFFFFFF


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key among ``partitions``.

    >>> partition_of("customer-7", 4), partition_of("", 4)
    (2, 0)
    """
    if not key:
        return 0
    high, low = _lookup3(key)
    mixed: int = struct.unpack(">h", struct.pack(">H", (high ^ low) & 0xFFFF))[0]
    return mixed % partitions


def _lookup3(key: str) -> tuple[int, int]:
    # The service adds up code points, not bytes: a letter beyond Latin-1 spills into its neighbour's byte.
    codes = [ord(letter) for letter in key]
    a = b = c = (0xDEADBEEF + len(codes)) & _MASK
    at = 0
    while len(codes) - at > 12:
        a, b, c = _mix(a + _word(codes, at), b + _word(codes, at + 4), c + _word(codes, at + 8))
        at += 12
    a, b, c = _final(a + _word(codes, at), b + _word(codes, at + 4), c + _word(codes, at + 8))
    return c, b


def _word(codes: list[int], at: int) -> int:
    return sum(code << (8 * place) for place, code in enumerate(codes[at : at + 4]))


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, b, c = a & _MASK, b & _MASK, c & _MASK
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _rotate(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, b, c = a & _MASK, b & _MASK, c & _MASK
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, bits)) & _MASK
        a, b, c = b, c, a
    # Seven turns are one more than two whole rounds of the names.
    return c, a, b
