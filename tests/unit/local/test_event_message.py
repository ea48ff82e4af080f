"""What a sender wrote arrives as it was; what only the hub may say comes from the hub."""

import pytest
from azure.eventhub._pyamqp import _decode as sdk
from hypothesis import given
from hypothesis import strategies as st

from pegel.local.eventhubs import codec, message
from pegel.local.eventhubs.conditions import MalformedError
from pegel.local.eventhubs.message import Stamp

STAMP = Stamp(12, "345", 1_700_000_000_000, None)
BODY = codec.described(message.DATA, codec.binary(b"body"))


def annotated(pairs):
    return codec.described(message.MESSAGE_ANNOTATIONS, codec.mapping(pairs))


def sdk_reads(event):
    return sdk.decode_payload(memoryview(event))


def test_the_stamp_is_added_to_an_event_without_annotations():
    read = sdk_reads(message.delivered(BODY, STAMP))
    assert read.message_annotations == {
        b"x-opt-sequence-number": 12,
        b"x-opt-offset": b"345",
        b"x-opt-enqueued-time": 1_700_000_000_000,
    }
    assert read.data == [b"body"]


def test_a_sender_cannot_forge_the_hubs_annotations():
    forged = annotated(
        [
            (codec.symbol("x-opt-sequence-number"), codec.long(9)),
            (codec.symbol("own"), codec.ubyte(1)),
            (codec.symbol("x-opt-partition-key"), codec.string("forged")),
        ]
    )
    read = sdk_reads(message.delivered(forged + BODY, STAMP))
    assert read.message_annotations[b"x-opt-sequence-number"] == 12
    assert read.message_annotations[b"own"] == 1
    assert b"x-opt-partition-key" not in read.message_annotations


@given(st.permutations(range(4)))
def test_sections_come_out_in_the_standards_order_whatever_order_they_came_in(order):
    parts = [
        codec.described(message.HEADER, codec.sequence([codec.TRUE])),
        codec.described(message.DELIVERY_ANNOTATIONS, codec.mapping([(codec.symbol("d"), codec.ubyte(1))])),
        codec.described(message.APPLICATION_PROPERTIES, codec.mapping([(codec.string("a"), codec.int32(7))])),
        BODY,
    ]
    event = message.delivered(b"".join(parts[place] for place in order), STAMP)
    codes = [section.code for section in message.sections(event)]
    assert codes == [0x70, 0x71, 0x72, 0x74, 0x75]


def test_a_batch_is_split_into_its_messages():
    envelope = annotated([(codec.symbol("x-opt-partition-key"), codec.string("k"))]) + b"".join(
        codec.described(message.DATA, codec.binary(part)) for part in (BODY, BODY + BODY)
    )
    assert message.split_batch(envelope) == [BODY, BODY + BODY]
    assert message.partition_key(envelope) == "k"


def test_the_runtime_metric_replaces_delivery_annotations_and_keeps_the_rest():
    header = codec.described(message.HEADER, codec.sequence([codec.TRUE]))
    old = codec.described(message.DELIVERY_ANNOTATIONS, codec.mapping([(codec.symbol("old"), codec.ubyte(1))]))
    event = message.delivered(header + old + BODY, STAMP)
    read = sdk_reads(message.with_runtime_metric(event, Stamp(99, "888", 5, None), 6))
    assert read.delivery_annotations == {
        b"last_enqueued_sequence_number": 99,
        b"last_enqueued_offset": b"888",
        b"last_enqueued_time_utc": 5,
        b"runtime_info_retrieval_time_utc": 6,
    }
    assert read.header.durable is True
    assert read.data == [b"body"]


@pytest.mark.parametrize("raw", [b"\x01", b"\x00\x53\x10\x45", b"\x00\x53\x75\xa0\x09x", b"\x00\x53\x75"])
def test_bytes_that_are_no_message_are_refused(raw):
    with pytest.raises(MalformedError):
        message.delivered(raw, STAMP)


@given(st.binary(max_size=120))
def test_any_bytes_are_stored_or_refused_but_never_raise_anything_else(raw):
    try:
        event = message.delivered(raw, STAMP)
    except MalformedError:
        return
    assert sum(section.code == message.MESSAGE_ANNOTATIONS for section in message.sections(event)) == 1
