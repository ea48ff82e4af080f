"""Every event of a range once, although the SDK repeats some when it reconnects."""

from datetime import UTC, datetime

import pytest
from azure.eventhub.amqp import AmqpMessageBodyType

from pegel.errors import OutsideError
from pegel.streaming.sources.eventhubs_client import receive
from pegel.streaming.sources.eventhubs_offsets import HubRange

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
