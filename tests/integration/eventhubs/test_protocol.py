"""What the SDK never shows: exact credit and window, empty frames, and clients that misbehave."""

import socket
import struct

import pytest

from pegel.local.eventhubs import codec, frames

ADDRESS = "amqps://127.0.0.1/orders/ConsumerGroups/$Default/Partitions/0"


@pytest.fixture
def written():
    """8 MB, far more than the buffers of two sockets hold."""
    return ["x" * 200_000] * 40


@pytest.fixture
def reading(raw):
    """A bare receiver; it has given neither credit nor window yet."""
    client = raw(receive_buffer=65_536)
    client.authorize("orders")
    client.attach(2, ADDRESS, receives=True)
    while client.until(frames.ATTACH).handle != 2:
        pass
    return client


def next_tags(client, count):
    return [client.until(frames.TRANSFER).delivery_id for _ in range(count)]


def until_fence(client):
    """All that the server sends before it answers an attach sent now: it answers in order."""
    client.attach(9, "amqps://127.0.0.1/orders", receives=False)
    found = [client.read()]
    while found[-1][0] and not (found[-1][0] == frames.ATTACH and found[-1][1].handle == 9):
        found.append(client.read())
    assert found[-1][0], "the server closed the connection"
    return found[:-1]


def test_a_receiver_gets_as_many_events_as_it_gave_credit_for(reading):
    reading.give(2, credit=3, window=100)
    assert next_tags(reading, 3) == [0, 1, 2]
    assert until_fence(reading) == []


def test_the_session_window_bounds_transfers_whatever_the_credit(reading):
    reading.give(2, credit=10, window=4)
    assert next_tags(reading, 4) == [0, 1, 2, 3]
    reading.give(2, credit=10, window=2, received=4)
    assert next_tags(reading, 2) == [4, 5]
    assert until_fence(reading) == []


@pytest.mark.parametrize(
    ("there", "new", "refusal", "stolen"),
    [
        ([], 0, [], 0),
        ([1], 2, [], 1),
        ([1], 1, [], 1),
        ([2], 1, ["amqp:link:stolen"], 0),
        ([2], None, ["amqp:link:stolen"], 0),
        ([None, None], 0, [], 2),
        ([None] * 4, None, [], 0),
        ([None] * 5, None, ["amqp:resource-limit-exceeded"], 0),
    ],
)
def test_readers_give_way_as_the_table_of_epochs_says(raw, there, new, refusal, stolen):
    client = raw()
    client.authorize("orders")
    for handle, epoch in enumerate([*there, new], 2):
        client.attach(handle, ADDRESS, receives=True, epoch=epoch)
    found = until_fence(client)
    detached = [(one.handle, one.error.value[0]) for code, one in found if code == frames.DETACH]
    assert detached[:stolen] == [(2 + place, "amqp:link:stolen") for place in range(stolen)]
    assert [condition for _, condition in detached[stolen:]] == refusal
    assert all(handle == 2 + len(there) for handle, _ in detached[stolen:])


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("other/ConsumerGroups/$Default/Partitions/0", "amqp:not-found"),
        ("orders/ConsumerGroups/other/Partitions/0", "amqp:not-found"),
        ("orders/ConsumerGroups/$Default/Partitions/2", "com.microsoft:argument-out-of-range"),
        ("orders/ConsumerGroups/$Default/Partitions/x", "com.microsoft:argument-out-of-range"),
        ("orders", "amqp:not-found"),
    ],
)
def test_an_address_that_names_nothing_is_refused(raw, address, condition):
    client = raw()
    client.authorize("")
    client.attach(2, f"amqps://127.0.0.1/{address}", receives=True)
    assert client.until(frames.DETACH).error.value[0] == condition


def test_an_address_without_a_token_for_it_is_refused(raw):
    client = raw()
    client.authorize("orders2")
    client.attach(2, ADDRESS, receives=True)
    error = client.until(frames.DETACH).error
    assert error.value[0] == "amqp:unauthorized-access"


def test_a_filter_that_is_no_selector_of_event_hubs_is_refused(raw):
    client = raw()
    client.authorize("orders")
    name = codec.symbol("apache.org:selector-filter:string")
    selector = codec.mapping([(name, codec.string("amqp.annotation.x-opt-offset = '1'"))])
    source = codec.described(0x28, codec.sequence([codec.string(ADDRESS), *[codec.NULL] * 6, selector]))
    target = codec.described(0x29, codec.sequence([codec.string("t")]))
    fields = [codec.string("l"), codec.uint(2), codec.TRUE, codec.ubyte(0), codec.ubyte(0), source, target]
    client.write(frames.performative(1, frames.ATTACH, [*fields, *[codec.NULL] * 7]))
    assert client.until(frames.DETACH).error.value[0] == "com.microsoft:argument-error"


def test_a_client_that_asks_for_empty_frames_gets_them(raw):
    client = raw(idle_ms=200)
    assert [client.raw() for _ in range(3)] == [frames.EMPTY_FRAME] * 3


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">IBBH", 1 << 20, 2, 0, 1),
        struct.pack(">IBBH", 4, 2, 0, 1),
        struct.pack(">IBBH", 12, 9, 0, 1) + b"1234",
        frames.frame(1, b"\x00\x53\x14\xc0\xff"),
        frames.performative(1, frames.TRANSFER, [codec.uint(77)]) + b"x",
    ],
)
def test_a_frame_that_breaks_the_protocol_closes_its_own_connection_only(raw, frame):
    client, other = raw(), raw()
    client.write(frame)
    client.until(frames.CLOSE)
    assert client.read() == (0, None)
    other.authorize("orders")
    assert until_fence(other)


def test_another_protocol_is_answered_with_the_header_and_closed(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.makefile("rb").read() == frames.SASL_HEADER


def test_a_receiver_that_does_not_read_does_not_fill_the_servers_memory(reading, server, wait_until):
    reading.give(2, credit=1000, window=1000)
    (connection,) = server._connections
    wait_until(lambda: connection.is_full, "the socket to be full")
    assert connection._transport.get_write_buffer_size() < 3_000_000
    assert next_tags(reading, 40) == list(range(40))
