"""The links of a session: what comes in to be stored or answered, and what goes out. Edge.

Credit: the server tops up a sender's credit before it runs out, because at zero the SDK grants itself some. A receiver
gets at most as many events as it gave credit for, and none while its socket is full.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pegel.local.eventhubs import conditions, message
from pegel.local.eventhubs.conditions import MalformedError, RefusedError
from pegel.local.eventhubs.frames import Flow, Transfer
from pegel.local.eventhubs.hubs import ConsumerGroup, Partition

MAX_MESSAGE_SIZE = 1_048_576
"""Bytes of one transfer, event or batch: the limit of the standard tier and of the emulator."""
_CREDIT = 1000
_TOP_UP = 500
_READ_BYTES = 256 * 1024


class Channel(Protocol):
    """What a link needs of its session."""

    @property
    def can_send(self) -> bool:
        """Whether the peer's session window is open and its socket takes more."""

    def send_message(self, handle: int, payload: bytes) -> bool:
        """Send a settled message, or return False if the session window is too narrow for it."""

    def send_credit(self, handle: int, delivery_count: int, credit: int) -> None:
        """Grant credit."""

    def settle(self, delivery_id: int, refusal: RefusedError | None) -> None:
        """Accept or reject a delivery."""

    def detach(self, handle: int, reason: RefusedError) -> None:
        """Close a link from this side."""

    def later(self, action: Callable[[], None]) -> None:
        """Run something soon, in the care of the connection."""


class Inbound:
    """A link on which the client sends: messages are put together, handed over and settled.

    Args:
        channel: the session.
        handle: the link's number.
        receive: takes the message format and the message; what it raises as ``RefusedError`` rejects the delivery.
    """

    def __init__(self, channel: Channel, handle: int, receive: Callable[[int, bytes], None]) -> None:
        self._channel = channel
        self._handle = handle
        self._receive = receive
        self._delivered = 0
        self._credit = 0
        self._pieces: list[bytes] = []
        self._size = 0
        self._first = Transfer()

    def opened(self) -> None:
        """Grant the first credit."""
        self._top_up()

    def on_flow(self, flow: Flow) -> None:
        """A sender's flow asks for nothing."""

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Take one frame of a delivery; a delivery that grows too large is not kept."""
        if not self._size:
            self._first = transfer
        # An empty first piece still starts a delivery, hence the one.
        self._size += len(payload) or 1
        if self._size <= MAX_MESSAGE_SIZE:
            self._pieces.append(payload)
        else:
            self._pieces.clear()
        if transfer.more and not transfer.aborted:
            return
        whole, size, first = b"".join(self._pieces), self._size, self._first
        self._pieces, self._size = [], 0
        self._delivered += 1
        self._credit -= 1
        if not transfer.aborted:
            refusal = self._take(first, whole, size)
            if not first.settled and first.delivery_id is not None:
                self._channel.settle(first.delivery_id, refusal)
        if self._credit < _TOP_UP:
            self._top_up()

    def _take(self, first: Transfer, whole: bytes, size: int) -> RefusedError | None:
        if size > MAX_MESSAGE_SIZE:
            described = f"The message has {size} bytes or more; the limit is {MAX_MESSAGE_SIZE}."
            return RefusedError(conditions.MESSAGE_TOO_LARGE, described)
        try:
            self._receive(first.message_format or 0, whole)
        except RefusedError as refusal:
            return refusal
        except MalformedError as error:
            return RefusedError(conditions.DECODE_ERROR, f"The message cannot be read: {error}.")
        return None

    def _top_up(self) -> None:
        self._credit = _CREDIT
        self._channel.send_credit(self._handle, self._delivered, self._credit)

    def pump(self) -> None:
        """Nothing waits on an inbound link."""

    def close(self) -> None:
        """Nothing is kept."""


class Replies:
    """The link on which the answers of ``$cbs`` or ``$management`` go out; they wait for credit."""

    def __init__(self, channel: Channel, handle: int) -> None:
        self._channel = channel
        self._handle = handle
        self._credit = 0
        self._sent = 0
        self._waiting: deque[bytes] = deque()

    def opened(self) -> None:
        """Wait for credit."""

    def answer(self, payload: bytes) -> None:
        """Send an answer, now or when there is credit."""
        self._waiting.append(payload)
        self.pump()

    def on_flow(self, flow: Flow) -> None:
        """Take credit."""
        self._credit = _credit(flow, self._sent)
        self.pump()

    def pump(self) -> None:
        """Send what waits and may go."""
        while self._waiting and self._credit > 0 and self._channel.can_send:
            if not self._channel.send_message(self._handle, self._waiting[0]):
                return
            self._waiting.popleft()
            self._credit -= 1
            self._sent += 1

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()


class Subscriber:
    """A link on which the events of one partition go out.

    Args:
        channel: the session.
        handle: the link's number.
        partition: the partition; the subscriber waits for its new events.
        start: the first sequence number to deliver.
        epoch: the owner level, None for a receiver that shares.
        tracks: whether each event carries the partition's end.
    """

    def __init__(
        self, channel: Channel, handle: int, partition: Partition, *, start: int, epoch: int | None, tracks: bool
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._partition = partition
        self._next = start
        self.epoch = epoch
        self._tracks = tracks
        self._credit = 0
        self._sent = 0
        self._woken = False
        self._group: tuple[ConsumerGroup, int] | None = None

    def join(self, group: ConsumerGroup, partition: int) -> None:
        """Become a reader of the group, or be refused."""
        group.admit(partition, self)
        self._group = (group, partition)

    def opened(self) -> None:
        """Wait for new events, and for credit."""
        self._partition.readers.add(self)

    def on_flow(self, flow: Flow) -> None:
        """Take credit."""
        self._credit = _credit(flow, self._sent)
        self.pump()

    def wake(self) -> None:
        """New events: deliver them after the sender has had its acknowledgement."""
        if not self._woken:
            self._woken = True
            self._channel.later(self.pump)

    def steal(self, description: str) -> None:
        """Another receiver takes over."""
        self._channel.detach(self._handle, RefusedError(conditions.STOLEN, description))

    def pump(self) -> None:
        """Deliver while there are events, credit, window and room in the socket."""
        self._woken = False
        log = self._partition.log
        while self._credit > 0 and self._channel.can_send:
            self._next = max(self._next, log.begin)
            events = log.read(self._next, self._credit, _READ_BYTES)
            if not events:
                return
            for event in events:
                whole = self._with_metric(event) if self._tracks else event
                if not self._channel.send_message(self._handle, whole):
                    return
                self._next += 1
                self._credit -= 1
                self._sent += 1

    def _with_metric(self, event: bytes) -> bytes:
        last = self._partition.log.last
        return event if last is None else message.with_runtime_metric(event, last, time.time_ns() // 1_000_000)

    def close(self) -> None:
        """Leave the partition and the group: a closed link is never woken again."""
        self._credit = 0
        self._partition.readers.discard(self)
        if self._group is not None:
            group, partition = self._group
            group.release(partition, self)


Link = Inbound | Replies | Subscriber


def _credit(flow: Flow, sent: int) -> int:
    """The credit that is left: what the receiver gave, less what is on its way to it (counts wrap at 2^32)."""
    on_its_way = (sent - (flow.delivery_count or 0)) & 0xFFFFFFFF
    return max(0, (flow.link_credit or 0) - on_its_way)
