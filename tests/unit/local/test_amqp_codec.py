"""The AMQP types survive the way to bytes and back, and bytes that are no AMQP are refused, never misread."""

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.local.eventhubs import codec
from pegel.local.eventhubs.conditions import MalformedError

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = st.one_of(
    st.tuples(st.just(codec.boolean), st.booleans()),
    st.tuples(st.just(codec.ubyte), st.integers(0, 2**8 - 1)),
    st.tuples(st.just(codec.ushort), st.integers(0, 2**16 - 1)),
    st.tuples(st.just(codec.uint), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(codec.ulong), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(codec.int32), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(codec.long), INT64),
    st.tuples(st.just(codec.timestamp), INT64),
    st.tuples(st.just(codec.uuid), st.uuids()),
    st.tuples(st.just(codec.binary), st.binary(max_size=600)),
    st.tuples(st.just(codec.string), st.text(max_size=300)),
    st.tuples(st.just(codec.symbol), st.text(st.characters(max_codepoint=127), max_size=300)),
)
"""Pairs of an encoder and a value for it."""
VALUES = st.recursive(
    SCALARS.map(lambda pair: (pair[0](pair[1]), pair[1])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(
            lambda items: (codec.sequence([raw for raw, _ in items]), [v for _, v in items])
        ),
        st.dictionaries(st.text(max_size=5), inner, max_size=4).map(
            lambda pairs: (
                codec.mapping((codec.string(key), raw) for key, (raw, _) in pairs.items()),
                {key: value for key, (_, value) in pairs.items()},
            )
        ),
        inner.map(lambda pair: (codec.described(0x73, pair[0]), codec.Described(0x73, pair[1]))),
    ),
    max_leaves=12,
)
"""Pairs of encoded bytes and the value in them, nested."""


@given(VALUES)
def test_a_value_survives_encoding_and_decoding(pair):
    raw, value = pair
    assert codec.decode(raw) == (value, len(raw))
    assert codec.end_of(raw, 0) == len(raw)


@given(st.lists(st.text(max_size=40), max_size=40))
def test_an_array_of_strings_survives(values):
    raw = codec.strings(values)
    assert codec.decode(raw) == (values, len(raw))


@given(VALUES, st.data())
def test_a_value_that_is_cut_off_is_refused(pair, data):
    raw, _ = pair
    with pytest.raises(MalformedError):
        codec.decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_but_never_raise_anything_else(raw):
    try:
        _, end = codec.decode(raw)
    except MalformedError:
        return
    assert 0 < end <= len(raw)


def test_a_nest_of_lists_is_refused_before_it_exhausts_the_stack():
    raw = codec.NULL
    for _ in range(200):
        raw = codec.sequence([raw])
    with pytest.raises(MalformedError):
        codec.decode(raw)


def test_an_array_cannot_claim_more_items_than_it_has_bytes():
    raw = struct.pack(">BIIB", 0xF0, 5, 2**31, 0x41)
    with pytest.raises(MalformedError, match="more items"):
        codec.decode(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"\x40", None),
        (b"\x45", []),
        (b"\x43", 0),
        (b"\x54\xff", -1),
        (b"\x55\x80", -128),
        (b"\x56\x01", True),
        (b"\x82" + struct.pack(">d", 1.5), 1.5),
        (b"\x98" + bytes(16), UUID(int=0)),
        (b"\xe0\x04\x02\x50\x07\x08", [7, 8]),
        (b"\xe0\x07\x02\xa3\x01a\x02bc", ["a", "bc"]),
    ],
)
def test_encodings_that_other_clients_choose_are_read(raw, value):
    assert codec.decode(raw) == (value, len(raw))
