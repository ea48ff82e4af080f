"""What the Spark source asks of the SDK, without Spark: exact ranges, gaps that are named, silence that ends."""

import logging
import socket
import threading

import pytest
from azure.eventhub import EventData
from azure.eventhub.amqp import AmqpAnnotatedMessage

from pegel.conf.secret_ref import SecretRef
from pegel.errors import OutsideError
from pegel.local.eventhubs import EventHubsServer, serve_in_thread
from pegel.local.eventhubs.hubs import MAX_NON_EPOCH_READERS, ConsumerGroup
from pegel.streaming.sources import eventhubs_receive
from pegel.streaming.sources.eventhubs_client import HubAccess, partition_states
from pegel.streaming.sources.eventhubs_offsets import HubRange, PartitionState
from pegel.streaming.sources.eventhubs_receive import receive


@pytest.fixture
def written():
    return list("0123456789")


@pytest.fixture
def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def access_with(server, tmp_path):
    def build(*, key="SAS_KEY_VALUE", timeout=30.0, fail=True, group="$Default"):
        secret = tmp_path / "connection_string"
        secret.write_text(server.connection_string.replace("SAS_KEY_VALUE", key))
        return HubAccess(SecretRef(file=str(secret)), group, timeout, fail)

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
    with caplog.at_level(logging.WARNING, eventhubs_receive.__name__):
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


def test_a_consumer_group_that_is_not_there_is_refused_and_named(access_with):
    with pytest.raises(OutsideError, match="the hub has no consumer group 'nobody'; make it, or name another"):
        list(receive(access_with(group="nobody"), [HubRange("orders", "0", 0, 9)]))


def test_a_hub_that_is_not_there_is_refused_at_once(access_with):
    with pytest.raises(OutsideError, match=r"for elsewhere \(ConnectError, not-found\); there is no such hub; make it"):
        partition_states(access_with(timeout=3600.0), ["elsewhere"], {})


def test_a_consumer_group_whose_five_receivers_are_taken_is_waited_for_and_then_named(
    sdk, access_with, caplog, wait_until
):
    others = [sdk.receiver() for _ in range(MAX_NON_EPOCH_READERS)]
    sdk.has_readers(MAX_NON_EPOCH_READERS)
    with pytest.raises(OutsideError, match=r"all five receivers .* to the consumer group '\$Default' are taken; give"):
        list(receive(access_with(timeout=2.0), [HubRange("orders", "0", 0, 9)]))
    caplog.clear()
    numbers = []
    wanted = [HubRange("orders", "0", 0, 9)]
    reading = threading.Thread(target=lambda: numbers.extend(row[2] for row in receive(access_with(), wanted)))
    reading.start()
    wait_until(lambda: "orders/0 was lost" in caplog.text, "a refusal")
    others[0].close()
    reading.join(30)
    assert numbers == list(range(9))


def test_a_receiver_with_an_epoch_keeps_the_stream_out_with_a_clear_sentence(sdk, access_with):
    sdk.receiver(owner_level=1)
    sdk.has_readers(1)
    with pytest.raises(OutsideError, match="another receiver, which asked for an epoch, has the partition"):
        list(receive(access_with(), [HubRange("orders", "0", 0, 9)]))


def test_micro_batch_after_micro_batch_few_receivers_are_at_a_partition(access_with, monkeypatch):
    there = []
    admit = ConsumerGroup.admit

    def counted(group, partition, reader):
        admit(group, partition, reader)
        there.append(len(group._readers[partition]))

    monkeypatch.setattr(ConsumerGroup, "admit", counted)
    for start in range(10):
        rows = receive(access_with(), [HubRange("orders", "0", start, start + 1)])
        assert [row[2] for row in rows] == [start]
    assert len(there) == 10
    # One that was closed may be there a moment longer, and others have room beside it.
    assert max(there) <= MAX_NON_EPOCH_READERS - 2


def test_a_server_that_restarts_amid_a_range_costs_no_event_and_none_comes_twice(tmp_path, sdk_of):
    server = EventHubsServer({"orders": 1}, tmp_path / "again")
    secret = tmp_path / "connection_string_again"
    with serve_in_thread(server):
        client = sdk_of(server, "orders")
        client.send(*map(str, range(5)))
        client.close()
        secret.write_text(server.connection_string)
    access = HubAccess(SecretRef(file=str(secret)), "$Default", 30.0, True)
    numbers, half = [], threading.Event()

    def read():
        for row in receive(access, [HubRange("orders", "0", 0, 10)]):
            numbers.append(row[2])
            if len(numbers) == 5:
                half.set()

    # The first link is opened while the server is down, too.
    reading = threading.Thread(target=read)
    reading.start()
    with serve_in_thread(server):
        assert half.wait(30)
        assert partition_states(access, ["orders"], {}) == {"orders/0": PartitionState(0, 5)}
    asked = []
    asking = threading.Thread(target=lambda: asked.append(partition_states(access, ["orders"], {})))
    asking.start()
    with serve_in_thread(server):
        client = sdk_of(server, "orders")
        client.send(*map(str, range(5, 10)))
        reading.join(30)
        asking.join(30)
        client.close()
    assert numbers == list(range(10))
    assert asked[0]["orders/0"].end in (5, 10)


def test_a_server_that_stays_away_is_an_error_after_the_patience_of_the_settings(tmp_path, unused_port):
    secret = tmp_path / "connection_string"
    secret.write_text(
        f"Endpoint=sb://127.0.0.1:{unused_port};SharedAccessKeyName=n;SharedAccessKey=a2V5;UseDevelopmentEmulator=true;"
    )
    access = HubAccess(SecretRef(file=str(secret)), "$Default", 1.5, True)
    with pytest.raises(OutsideError, match=r"did not answer for orders \(ConnectError\); check that it can be reached"):
        partition_states(access, ["orders"], {})
    with pytest.raises(
        OutsideError, match=r"did not answer for orders/0 \(ConnectError\); check that it can be reached"
    ):
        list(receive(access, [HubRange("orders", "0", 0, 1)]))
