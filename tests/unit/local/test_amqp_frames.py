"""Frames as the SDK's own decoder reads them, which indexes fields by position and does not pad."""

import pytest
from azure.eventhub._pyamqp import _decode as sdk
from hypothesis import given
from hypothesis import strategies as st

from pegel.local.eventhubs import codec, frames
from pegel.local.eventhubs.frames import Attach


def sdk_reads(frame):
    size = int.from_bytes(frame[:4], "big")
    assert size == len(frame)
    return sdk.decode_frame(memoryview(frame[8:]))


ATTACH = codec.described(
    frames.ATTACH,
    codec.sequence(
        [
            codec.string("link"), codec.uint(3), codec.TRUE, codec.ubyte(0), codec.ubyte(0),
            codec.described(0x28, codec.sequence([codec.string("amqps://h/hub")])),
            codec.described(0x29, codec.sequence([codec.string("receiver")])),
        ]
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "code", "count"),
    [
        (frames.opened(container="c", max_frame_size=65536, channel_max=255, idle_ms=240000), 0x10, 10),
        (frames.begun(1), 0x11, 8),
        (frames.attached(1, Attach(role=True), ATTACH, max_message_size=1), 0x12, 14),
        (frames.attach_refused(1, Attach(role=True), ATTACH), 0x12, 14),
        (frames.flowed(1, next_in=0, next_out=0, handle=300, delivery_count=1, credit=1000), 0x13, 11),
        (frames.accepted(1, 7), 0x15, 6),
        (frames.rejected(1, 7, "amqp:not-found", "no"), 0x15, 6),
        (frames.detached(1, 3), 0x16, 3),
        (frames.ended(1), 0x17, 1),
        (frames.closed(frames.error("amqp:not-found", "no")), 0x18, 1),
        (frames.sasl_mechanisms(), 0x40, 1),
    ],
)
def test_a_performative_has_every_field_that_the_sdk_indexes(frame, code, count):
    read_code, fields = sdk_reads(frame)
    assert (read_code, len(fields)) == (code, count)


def test_the_answer_to_an_attach_echoes_its_ends_and_turns_its_role():
    _, fields = sdk_reads(frames.attached(1, Attach(role=True), ATTACH, max_message_size=1 << 20))
    assert fields[0] == b"link"
    assert fields[1] == 3
    assert fields[2] is False
    assert fields[5] == [b"amqps://h/hub"]
    assert fields[6] == [b"receiver"]
    assert (fields[9], fields[10]) == (0, 1 << 20)


def test_a_rejection_carries_an_error_of_three_fields():
    _, fields = sdk_reads(frames.rejected(1, 7, "amqp:link:message-size-exceeded", "too large"))
    assert fields[4] == {"rejected": [[b"amqp:link:message-size-exceeded", b"too large", None]]}


@given(st.binary(min_size=1, max_size=5000), st.integers(512, 1024), st.integers(0, 2**32 - 1))
def test_a_message_is_cut_into_frames_that_fit_and_join_to_itself(payload, max_frame_size, delivery_id):
    pieces = frames.transfers(1, 300, delivery_id, payload, max_frame_size)
    assert all(len(piece) <= max_frame_size for piece in pieces)
    read = [sdk_reads(piece)[1] for piece in pieces]
    assert b"".join(bytes(fields[11]) for fields in read) == payload
    assert [fields[5] for fields in read] == [True] * (len(read) - 1) + [False]
    assert {(fields[0], fields[1], fields[4]) for fields in read} == {(300, delivery_id, True)}


def test_an_incoming_performative_may_leave_trailing_fields_out():
    raw = codec.described(frames.FLOW, codec.sequence([codec.NULL, codec.uint(5)]))
    code, flow, end = frames.parse(raw + b"rest")
    assert (code, flow.incoming_window, flow.handle) == (frames.FLOW, 5, None)
    assert end == len(raw)
