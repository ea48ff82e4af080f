"""The events of ranges, received by the real SDK: each once and in order, over lost connections, gaps named. Edge."""

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pegel.errors import OutsideError
from pegel.streaming.sources.eventhubs_client import HubAccess, partition_state
from pegel.streaming.sources.eventhubs_failures import explain, is_final
from pegel.streaming.sources.eventhubs_offsets import HubRange

if TYPE_CHECKING:
    from azure.eventhub import EventData, EventHubConsumerClient

LOG = logging.getLogger(__name__)

Row = tuple[str, str, int, datetime, bytes]
"""``hub, partition, sequence number, enqueued time, body``."""

_PREFETCH = 1000
"""Events asked for at once: enough to keep a connection of some milliseconds busy."""
_QUEUED_BATCHES = 4
_AGAIN_SECONDS = 1.0


class _Receiver:
    """One range, received in a thread of its own by the SDK's public, push-style receiver.

    A link that was lost is opened again behind the last event that was taken.
    """

    def __init__(self, access: HubAccess, wanted: HubRange, output: "queue.Queue[tuple[_Receiver, Any]]") -> None:
        self.wanted = wanted
        self.expected = wanted.start
        self.heard = time.monotonic()
        self.trouble: Exception | None = None
        self._access = access
        self._output = output
        self._link: _Link | None = None

    @property
    def is_done(self) -> bool:
        """Whether all of the range has been taken."""
        return self.expected >= self.wanted.end

    def start(self, wait_seconds: float = 0.0) -> None:
        """Begin to receive, or begin again behind what was taken."""
        self.stop()
        self._link = _Link(self, self._access.client(self.wanted.hub), wait_seconds)

    def failed(self, error: Exception) -> None:
        """Take up an error: open a new link, unless that cannot help.

        Raises:
            OutsideError: if it cannot.
        """
        if is_final(error):
            raise OutsideError(explain(self.wanted.name, self._access.group, error))
        if self.trouble is None:
            LOG.warning("%s was lost (%s); it is opened again", self.wanted.name, type(error).__name__)
        self.trouble = error
        self.start(_AGAIN_SECONDS)

    def stop(self) -> None:
        """Ask the SDK to close the link; its thread ends by itself, up to a second later, and is not waited for."""
        if self._link is not None:
            self._link.stop()
            self._link = None

    def put(self, link: "_Link", item: "list[EventData] | Exception") -> None:
        """Hand over what a link brought, from its thread."""
        while not link.stopped.is_set():
            try:
                self._output.put((self, item), timeout=0.2)
            except queue.Full:
                continue
            if not isinstance(item, Exception):
                # Counted from here: a reader that took its time must not look like a silent hub.
                self.heard = time.monotonic()
            return


class _Link:
    """One link of a receiver, from its opening to its first error."""

    def __init__(self, receiver: _Receiver, client: "EventHubConsumerClient", wait_seconds: float) -> None:
        self.stopped = threading.Event()
        self._receiver = receiver
        self._client = client
        self._wait_seconds = wait_seconds
        self._start = receiver.expected
        threading.Thread(target=self._run, name=f"receive {receiver.wanted.name}", daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self._client.close()

    def _run(self) -> None:
        if self.stopped.wait(self._wait_seconds):
            return
        wanted = self._receiver.wanted
        prefetch = max(1, min(_PREFETCH, wanted.end - self._start))
        try:
            self._client.receive_batch(
                lambda _, events: self._receiver.put(self, events),
                max_batch_size=prefetch,
                partition_id=wanted.partition,
                prefetch=prefetch,
                starting_position=self._start,
                starting_position_inclusive=True,
                on_error=lambda _, error: self._receiver.put(self, error),
            )
        except Exception as error:  # the thread has no one to raise to: the reader of the queue raises
            self._receiver.put(self, error)


def receive(access: HubAccess, ranges: Iterable[HubRange]) -> Iterator[Row]:
    """All events of some ranges, of each partition in order; partitions are received at the same time.

    Every sequence number is checked: the SDK repeats events when it reconnects, and retention may have taken some.
    A hub that goes away is waited for as long as ``timeout_seconds`` says.

    Raises:
        OutsideError: if events are gone (and ``fail_on_data_loss``), nothing came in time, or the hub refused.
    """
    output: queue.Queue[tuple[_Receiver, Any]] = queue.Queue(_QUEUED_BATCHES)
    receivers = {_Receiver(access, wanted, output) for wanted in ranges}
    try:
        for receiver in receivers:
            receiver.start()
        waiting = set(receivers)
        while waiting:
            late = min(waiting, key=lambda receiver: receiver.heard)
            patience = late.heard + access.timeout_seconds - time.monotonic()
            try:
                receiver, item = output.get(timeout=max(0.0, patience))
            except queue.Empty:
                _nothing_came(access, late)
                waiting.discard(late)
                continue
            if receiver not in waiting:
                continue
            if isinstance(item, Exception):
                receiver.failed(item)
                continue
            yield from _rows(access, receiver, item)
            if receiver.is_done:
                receiver.stop()
                waiting.discard(receiver)
    finally:
        for receiver in receivers:
            receiver.stop()


def _rows(access: HubAccess, receiver: _Receiver, events: "Sequence[EventData]") -> Iterator[Row]:
    wanted = receiver.wanted
    receiver.trouble = None
    for event in events:
        number = event.sequence_number
        enqueued = event.enqueued_time
        if number is None or enqueued is None or number < receiver.expected:
            continue
        if number > receiver.expected and not receiver.is_done:
            _gap(access, wanted, receiver.expected, min(number, wanted.end) - 1)
        receiver.expected = number + 1
        if number < wanted.end:
            yield wanted.hub, wanted.partition, number, enqueued, _body(event)


def _body(event: "EventData") -> bytes:
    """The event's bytes. Only data sections are bytes; anything else is written out, for ingest to refuse."""
    from azure.eventhub.amqp import AmqpMessageBodyType

    body: Any = event.body
    if event.body_type == AmqpMessageBodyType.DATA:
        return b"".join(body)
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else repr(body).encode()


def _gap(access: HubAccess, wanted: HubRange, first: int, last: int) -> None:
    lost = f"{wanted.name}: the events {first} to {last} ({last - first + 1} in all) are gone before they were read"
    if access.fail_on_data_loss:
        msg = (
            f"{lost}: the hub keeps events for too short a time, or reading stopped for too long; set"
            " source.eventhubs.fail_on_data_loss to false to go on without them, and lengthen the hub's retention"
        )
        raise OutsideError(msg)
    LOG.warning("%s; reading goes on behind them", lost)


def _nothing_came(access: HubAccess, receiver: _Receiver) -> None:
    """Explain a silence: the rest of the range may be gone, and then nothing will ever come."""
    wanted, first = receiver.wanted, receiver.expected
    receiver.stop()
    if receiver.trouble is not None:
        raise OutsideError(explain(wanted.name, access.group, receiver.trouble))
    state = partition_state(access, wanted.hub, wanted.partition)
    if state.begin >= wanted.end:
        _gap(access, wanted, first, wanted.end - 1)
        return
    msg = (
        f"nothing came from {wanted.name} for {access.timeout_seconds:g} s, although the hub holds the events {first}"
        f" to {wanted.end - 1}; check the network and whether other readers use the consumer group {access.group!r}"
    )
    raise OutsideError(msg)
