"""Sending with the unmodified SDK: what arrives, where, and what is refused."""

import threading
import uuid

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub.amqp import AmqpAnnotatedMessage
from azure.eventhub.exceptions import AuthenticationError, ConnectError, EventDataSendError

from pegel.local.eventhubs.partition_key import partition_of

NUMBER = uuid.UUID(int=7)


def test_a_batch_arrives_in_order_with_everything_its_sender_wrote(sdk):
    client = sdk.producer()
    batch = client.create_batch(partition_id="1")
    for number in range(3):
        event = EventData(f"body {number}")
        event.properties = {"number": number, "text": "ü", "id": NUMBER, "flag": True}
        event.content_type, event.message_id, event.correlation_id = "application/json", f"m{number}", "c"
        batch.add(event)
    client.send_batch(batch)
    got = sdk.receiver("1").wait_for(3)
    assert [event.body_as_str() for event in got] == ["body 0", "body 1", "body 2"]
    assert [event.sequence_number for event in got] == [0, 1, 2]
    assert [event.message_id for event in got] == ["m0", "m1", "m2"]
    assert got[2].properties == {b"number": 2, b"text": "ü".encode(), b"id": NUMBER, b"flag": True}
    assert (got[0].content_type, got[0].correlation_id) == ("application/json", "c")
    assert got[0].enqueued_time <= got[2].enqueued_time
    assert len({event.offset for event in got}) == 3


def test_values_and_annotations_of_an_annotated_message_survive(sdk):
    sent = AmqpAnnotatedMessage(value_body={"a": [1, 2.5, None]}, annotations={"own": b"raw"}, footer={"f": 1})
    sdk.producer().send_event(sent, partition_id="0")
    got = sdk.receiver().wait_for(1)[0].raw_amqp_message
    assert got.body == {b"a": [1, 2.5, None]}
    assert got.annotations[b"own"] == b"raw"
    assert got.footer == {b"f": 1}


def test_a_key_sends_a_batch_to_its_partition_and_comes_with_each_event(sdk):
    key = next(f"key{number}" for number in range(99) if partition_of(f"key{number}", 2) == 1)
    sdk.send("a", "b", key=key)
    got = sdk.receiver("1").wait_for(2)
    assert [event.partition_key for event in got] == [key.encode()] * 2


def test_batches_without_a_key_go_to_one_partition_after_the_other(sdk):
    client = sdk.producer()
    for body in "abcd":
        client.send_event(EventData(body))
    assert sdk.receiver("0", starting_position="-1").wait_for(2)
    reached = [client.get_partition_properties(number)["last_enqueued_sequence_number"] for number in "01"]
    assert reached == [1, 1]


def test_a_buffered_producer_sends_all_and_agrees_on_the_partition_of_a_key(server):
    done = threading.Event()
    partitions, failures = [], []

    def on_success(events, partition):
        partitions.extend([partition] * len(events))
        done.set()

    client = EventHubProducerClient.from_connection_string(
        server.connection_string, eventhub_name="orders", buffered_mode=True, max_wait_time=0.1,
        on_success=on_success, on_error=lambda _, __, error: failures.append(error),
    )  # fmt: skip
    with client:
        client.send_event(EventData("x"), partition_key="customer-7")
        assert done.wait(30)
    assert (partitions, failures) == ([str(partition_of("customer-7", 2))], [])


def test_an_event_of_nearly_a_mebibyte_passes_in_several_frames(sdk):
    body = bytes(range(256)) * 4000
    sdk.producer().send_event(EventData(body), partition_id="0")
    assert b"".join(sdk.receiver().wait_for(1)[0].body) == body


def test_too_large_an_event_is_refused_and_the_producer_goes_on(sdk):
    client = sdk.producer()
    with pytest.raises(EventDataSendError, match="LinkMessageSizeExceeded"):
        client.send_event(EventData(b"x" * 1_048_576), partition_id="0")
    client.send_event(EventData("small"), partition_id="0")
    assert sdk.receiver().wait_for(1)[0].body_as_str() == "small"
    assert client.create_batch().max_size_in_bytes == 1_048_576


def test_a_wrong_key_is_refused_for_sending_and_for_questions(sdk):
    forged = sdk.server.connection_string.replace("SAS_KEY_VALUE", "another")
    with pytest.raises(AuthenticationError, match="InvalidSignature"):
        sdk.producer(forged).send_event(EventData("x"), partition_id="0")
    with pytest.raises(AuthenticationError):
        sdk.producer(forged).get_eventhub_properties()


def test_an_unknown_hub_or_partition_is_refused(sdk):
    with pytest.raises(ConnectError, match="404"):
        sdk.producer(eventhub_name="other").send_event(EventData("x"))
    with pytest.raises(ConnectError, match="400"):
        sdk.producer().get_partition_properties("2")


def test_properties_tell_what_a_hub_and_a_partition_hold(sdk):
    client = sdk.producer()
    assert client.get_eventhub_properties()["partition_ids"] == ["0", "1"]
    empty = client.get_partition_properties("0")
    assert (empty["is_empty"], empty["last_enqueued_sequence_number"], empty["last_enqueued_offset"]) == (
        True,
        -1,
        "-1",
    )
    sdk.send("a", "b", "c")
    sdk.server.expire("orders", "0", 1)
    full = client.get_partition_properties("0")
    assert (full["is_empty"], full["beginning_sequence_number"], full["last_enqueued_sequence_number"]) == (False, 1, 2)
    newest = sdk.receiver(starting_position=2, starting_position_inclusive=True).wait_for(1)[0]
    assert (newest.offset, newest.enqueued_time) == (full["last_enqueued_offset"], full["last_enqueued_time_utc"])
