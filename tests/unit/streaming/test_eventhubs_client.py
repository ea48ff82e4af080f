"""Every event of a range once, although the SDK repeats some when it reconnects; questions asked at the same time."""

import threading
from datetime import UTC, datetime

import pytest
from azure.eventhub.amqp import AmqpMessageBodyType

from pegel.errors import OutsideError
from pegel.streaming.sources.eventhubs_client import partition_states
from pegel.streaming.sources.eventhubs_offsets import HubRange
from pegel.streaming.sources.eventhubs_receive import receive

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Event:
    """An event as the SDK hands it over."""

    body_type = AmqpMessageBodyType.DATA
    enqueued_time = NOW

    def __init__(self, number):
        self.sequence_number = number
        self.body = [b"%d" % number]


class Client:
    """An SDK client that delivers given batches, or fails."""

    def __init__(self, batches):
        self._batches = batches

    def receive_batch(self, on_event_batch, *, on_error, starting_position, **_):
        assert starting_position == 3
        for batch in self._batches:
            if isinstance(batch, Exception):
                on_error(None, batch)
            else:
                on_event_batch(None, [Event(number) for number in batch])

    def close(self):
        """Nothing is open."""


class Access:
    """A namespace whose clients deliver given batches."""

    timeout_seconds = 10.0
    fail_on_data_loss = True
    group = "g"

    def __init__(self, *batches):
        self._batches = batches

    def client(self, hub):
        assert hub == "h"
        return Client(self._batches)


def numbers(*batches):
    return [row[2] for row in receive(Access(*batches), [HubRange("h", "0", 3, 8)])]


def test_repeated_events_and_those_beyond_the_range_are_left_out():
    assert numbers([2, 3, 4], [3, 4, 5], [5], [6, 7, 8], [9]) == [3, 4, 5, 6, 7]


def test_a_hole_in_the_middle_is_a_loss_too():
    with pytest.raises(OutsideError, match=r"the events 5 to 5 \(1 in all\) are gone"):
        numbers([3, 4], [6, 7])


def test_an_error_of_the_sdk_ends_the_range_with_its_kind_and_without_its_text():
    with pytest.raises(OutsideError, match=r"h/0 \(ValueError\)") as failure:
        numbers([3], ValueError("SharedAccessKey=x"))
    assert "SharedAccessKey" not in str(failure.value)


class Meeting:
    """A namespace that answers no question about a partition before all are asked."""

    timeout_seconds = 10.0

    def __init__(self, ids):
        self._ids, self._all = ids, threading.Barrier(2 * len(ids), timeout=30)

    def client(self, hub):
        assert hub in {"a", "b"}
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing is open."""

    def get_partition_ids(self):
        return self._ids

    def get_partition_properties(self, number):
        self._all.wait()
        return {"last_enqueued_sequence_number": int(number), "beginning_sequence_number": 0, "is_empty": False}


def test_all_partitions_of_both_hubs_are_asked_at_the_same_time():
    ids = [str(number) for number in range(16)]
    states = partition_states(Meeting(ids), ["a", "b"], {})
    assert {name: state.end for name, state in states.items()} == {
        f"{hub}/{n}": int(n) + 1 for hub in "ab" for n in ids
    }
