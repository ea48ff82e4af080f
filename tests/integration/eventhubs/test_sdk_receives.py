"""Receiving with the unmodified SDK: from where, by whom, and who must give way."""

import pytest
from azure.eventhub.exceptions import ConnectionLostError


@pytest.fixture
def written():
    return list("0123456789")


def test_a_receiver_starts_where_it_asks_to(sdk):
    events = sdk.receiver().wait_for(10)
    asked = [
        (6, False, "789"), (6, True, "6789"), (events[7].offset, False, "89"), (events[7].offset, True, "789"),
        (events[5].enqueued_time, False, "6789"), (events[5].enqueued_time, True, "56789"),
    ]  # fmt: skip
    receivers = [
        sdk.receiver(group=group, starting_position=position, starting_position_inclusive=inclusive)
        for (position, inclusive, _), group in zip(asked, ["$Default", "audit"] * 3, strict=True)
    ]
    for receiver, (_, _, expected) in zip(receivers, asked, strict=True):
        receiver.wait_for(len(expected))
        assert "".join(receiver.bodies) == expected


def test_a_receiver_at_latest_gets_only_what_comes_after_it(sdk):
    receiver = sdk.receiver(starting_position="@latest")
    sdk.has_readers(1)
    sdk.send("new")
    receiver.wait_for(1)
    assert receiver.bodies == ["new"]


def test_a_receiver_follows_its_partition_beyond_its_prefetch(sdk):
    receiver = sdk.receiver(prefetch=7, max_batch_size=3)
    sdk.has_readers(1)
    for start in (10, 25):
        sdk.send(*map(str, range(start, start + 15)))
    receiver.wait_for(40)
    assert receiver.bodies == [str(number) for number in range(40)]


def test_expired_events_are_not_delivered(sdk):
    sdk.server.expire("orders", "0", 8)
    receiver = sdk.receiver()
    receiver.wait_for(2)
    assert receiver.bodies == ["8", "9"]


def test_two_groups_each_get_everything(sdk):
    first, second = sdk.receiver(), sdk.receiver(group="audit")
    first.wait_for(10)
    second.wait_for(10)
    assert first.bodies == second.bodies == list("0123456789")


def test_a_group_that_was_not_declared_is_not_found(sdk):
    error = sdk.receiver(group="other").wait_for_error()
    assert isinstance(error, ConnectionLostError)
    assert "no consumer group 'other'" in str(error)


def test_a_higher_epoch_takes_over_and_a_lower_one_is_refused(sdk):
    owner = sdk.receiver(owner_level=3)
    sdk.has_readers(1)
    lower, shared = sdk.receiver(owner_level=2), sdk.receiver()
    assert "epoch 3" in str(lower.wait_for_error())
    assert "epoch 3" in str(shared.wait_for_error())
    assert not owner.errors
    sdk.receiver(owner_level=4)
    stolen = owner.wait_for_error()
    assert isinstance(stolen, ConnectionLostError)
    assert "epoch 4" in str(stolen)


def test_a_reader_that_closed_makes_room(sdk):
    first = sdk.receiver()
    sdk.has_readers(1)
    first.close()
    sdk.has_readers(0)


def test_a_tracking_receiver_learns_the_partitions_end(sdk):
    receiver = sdk.receiver(track_last_enqueued_event_properties=True, prefetch=2, max_batch_size=2)
    events = receiver.wait_for(10)
    assert receiver.last_enqueued["sequence_number"] == 9
    assert receiver.last_enqueued["offset"] == events[9].offset
    assert receiver.last_enqueued["enqueued_time"] == events[9].enqueued_time
