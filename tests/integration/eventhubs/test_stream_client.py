"""What the Spark source asks of the SDK, without Spark: exact ranges, gaps that are named, silence that ends."""

import logging

import pytest
from azure.eventhub import EventData
from azure.eventhub.amqp import AmqpAnnotatedMessage

from pegel.conf.secret_ref import SecretRef
from pegel.errors import OutsideError
from pegel.streaming.sources import eventhubs_client
from pegel.streaming.sources.eventhubs_client import HubAccess, partition_states, receive
from pegel.streaming.sources.eventhubs_offsets import HubRange, PartitionState


@pytest.fixture
def written():
    return list("0123456789")


@pytest.fixture
def access_with(server, tmp_path):
    def build(*, key="SAS_KEY_VALUE", timeout=30.0, fail=True):
        secret = tmp_path / "connection_string"
        secret.write_text(server.connection_string.replace("SAS_KEY_VALUE", key))
        return HubAccess(SecretRef(file=str(secret)), "$Default", timeout, fail)

    return build


def test_ranges_of_several_partitions_come_whole_each_in_order_and_no_more(sdk, access_with):
    sdk.send("a", "b", "c", partition="1")
    rows = list(receive(access_with(), [HubRange("orders", "0", 3, 9), HubRange("orders", "1", 0, 2)]))
    assert [(row[2], row[4]) for row in rows if row[1] == "0"] == [(n, b"%d" % n) for n in range(3, 9)]
    assert [(row[2], row[4]) for row in rows if row[1] == "1"] == [(0, b"a"), (1, b"b")]
    assert {row[0] for row in rows} == {"orders"}
    assert all(row[3].tzinfo is not None for row in rows)


def test_bodies_that_are_no_bytes_are_written_out_and_stop_nothing(sdk, access_with):
    client = sdk.producer()
    client.send_event(AmqpAnnotatedMessage(value_body="tëxt"), partition_id="1")
    client.send_event(AmqpAnnotatedMessage(value_body={"a": 1}), partition_id="1")
    client.send_event(AmqpAnnotatedMessage(sequence_body=[[1], ["b"]]), partition_id="1")
    client.send_event(EventData(b"\xff"), partition_id="1")
    bodies = [row[4] for row in receive(access_with(), [HubRange("orders", "1", 0, 4)])]
    assert bodies[0] == "tëxt".encode()
    assert b"b'a': 1" in bodies[1]
    assert bodies[3] == b"\xff"


def test_states_tell_begin_and_end_and_ids_are_asked_for_once(server, access_with):
    server.expire("orders", "0", 4)
    known = {}
    expected = {"orders/0": PartitionState(4, 10), "orders/1": PartitionState(0, 0)}
    assert partition_states(access_with(), ["orders"], known) == expected
    assert known == {"orders": ["0", "1"]}


def test_a_retention_gap_is_an_error_that_names_the_events(server, access_with):
    server.expire("orders", "0", 6)
    with pytest.raises(OutsideError, match=r"orders/0: the events 2 to 5 \(4 in all\) are gone before they were read"):
        list(receive(access_with(), [HubRange("orders", "0", 2, 8)]))


def test_a_retention_gap_is_passed_over_with_a_warning_if_asked_for(server, access_with, caplog):
    server.expire("orders", "0", 6)
    with caplog.at_level(logging.WARNING, eventhubs_client.__name__):
        rows = list(receive(access_with(fail=False), [HubRange("orders", "0", 2, 8)]))
    assert [row[2] for row in rows] == [6, 7]
    assert "the events 2 to 5" in caplog.text


@pytest.mark.parametrize("before", [8, 10])
def test_a_range_that_is_gone_as_a_whole_is_named_too(server, access_with, before):
    server.expire("orders", "0", before)
    with pytest.raises(OutsideError, match=r"the events 2 to 7 \(6 in all\) are gone"):
        list(receive(access_with(timeout=1.0), [HubRange("orders", "0", 2, 8)]))


def test_silence_ends_with_an_error_that_says_what_was_awaited(access_with):
    with pytest.raises(
        OutsideError, match="nothing came from orders/1 for 1 s, although the hub holds the events 0 to 4"
    ):
        list(receive(access_with(timeout=1.0), [HubRange("orders", "1", 0, 5)]))


def test_a_refused_key_is_an_error_that_shows_no_key(access_with):
    with pytest.raises(OutsideError, match=r"AuthenticationError\); check the key") as failure:
        partition_states(access_with(key="my+own+key="), ["orders"], {})
    assert "my+own+key=" not in str(failure.value)
    assert failure.value.__suppress_context__


def test_a_malformed_connection_string_is_an_error_that_does_not_show_it(tmp_path):
    secret = tmp_path / "broken"
    secret.write_text("Endpoint=;SharedAccessKey=my+own+key=")
    with pytest.raises(OutsideError, match=f"the connection string in {secret}.* is malformed") as failure:
        HubAccess(SecretRef(file=str(secret)), "$Default", 1.0, True).client("orders")
    assert "my+own+key=" not in str(failure.value)
