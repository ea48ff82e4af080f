"""What the Event Hubs source asks the real SDK for: how far partitions reach, and the events of ranges. Edge.

The connection string is read from its reference where it is used, and is in no message that leaves this module.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pegel.conf.secret_ref import SecretRef
from pegel.errors import OutsideError
from pegel.streaming.sources.eventhubs_offsets import HubRange, PartitionState

if TYPE_CHECKING:
    from azure.eventhub import EventData, EventHubConsumerClient

LOG = logging.getLogger(__name__)

Row = tuple[str, str, int, datetime, bytes]
"""``hub, partition, sequence number, enqueued time, body``."""

_PREFETCH = 1000
"""Events asked for at once: enough to keep a connection of some milliseconds busy."""
_MAX_THREADS = 32
_QUEUED_BATCHES = 4
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How to reach the namespace. It travels to executors, so it holds a reference and never the secret.

    Args:
        secret: where the connection string lies, on the driver and on every executor; not read if there is a namespace.
        group: the consumer group.
        timeout_seconds: a receiver that gets nothing for so long fails.
        fail_on_data_loss: whether events that are gone before they were read are an error, else a warning.
        namespace: the namespace's host; if it is given, Entra says who asks (``DefaultAzureCredential``).
    """

    secret: SecretRef | None
    group: str
    timeout_seconds: float
    fail_on_data_loss: bool
    namespace: str = ""

    def client(self, hub: str) -> "EventHubConsumerClient":
        """A client for one hub.

        Raises:
            SettingsError: if the connection string is missing.
            OutsideError: if it is malformed.
        """
        from azure.eventhub import EventHubConsumerClient

        # The interval is how long the SDK's helper thread outlives a receiver.
        patience: dict[str, Any] = {"load_balancing_interval": 5}
        if self.namespace or self.secret is None:
            from azure.identity import DefaultAzureCredential

            return EventHubConsumerClient(self.namespace, hub, self.group, DefaultAzureCredential(), **patience)
        text = self.secret.read()
        try:
            return EventHubConsumerClient.from_connection_string(text, self.group, eventhub_name=hub, **patience)
        except ValueError:
            where = self.secret.env or self.secret.file
            msg = f"the connection string in {where}, for the hub {hub!r}, is malformed; copy it again from the portal"
            raise OutsideError(msg) from None


def partition_states(access: HubAccess, hubs: Sequence[str], known: dict[str, list[str]]) -> dict[str, PartitionState]:
    """What every partition holds, asked in parallel: one question takes about 0.4 s, most of it the SDK's waiting.

    Args:
        access: the namespace.
        hubs: their names.
        known: the partition ids of each hub, filled here, so that they are asked for once.

    Raises:
        OutsideError: if a hub cannot be asked.
    """
    with ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="eventhubs") as pool:
        missing = [hub for hub in hubs if hub not in known]
        known.update(zip(missing, pool.map(lambda hub: _partition_ids(access, hub), missing), strict=True))
        pairs = [(hub, number) for hub in hubs for number in known[hub]]
        states = pool.map(lambda pair: partition_state(access, *pair), pairs)
        return {f"{hub}/{number}": state for (hub, number), state in zip(pairs, states, strict=True)}


def partition_state(access: HubAccess, hub: str, partition: str) -> PartitionState:
    """What one partition holds.

    Raises:
        OutsideError: if it cannot be asked.
    """
    found = _ask(access, hub, lambda client: client.get_partition_properties(partition))
    end = int(found["last_enqueued_sequence_number"]) + 1
    return PartitionState(end if found["is_empty"] else int(found["beginning_sequence_number"]), end)


def _partition_ids(access: HubAccess, hub: str) -> list[str]:
    return _ask(access, hub, lambda client: [str(number) for number in client.get_partition_ids()])


def _ask(access: HubAccess, hub: str, question: "Callable[[EventHubConsumerClient], _T]") -> _T:
    from azure.core.exceptions import AzureError
    from azure.eventhub.exceptions import EventHubError

    with access.client(hub) as client:
        try:
            return question(client)
        except (EventHubError, AzureError) as error:
            raise OutsideError(_failure(hub, error)) from None


def _failure(name: str, error: Exception) -> str:
    # The SDK's own text stays out: it is long, and what a service puts into it is not ours to vouch for.
    kind = type(error).__name__
    what = "check the key and its rights" if "Authentication" in kind else "check that it exists and can be reached"
    return f"Event Hubs refused or did not answer for {name} ({kind}); {what}, then start again"


class _Receiver:
    """One range, received in a thread of its own by the SDK's public, push-style receiver."""

    def __init__(self, access: HubAccess, wanted: HubRange, output: "queue.Queue[tuple[_Receiver, Any]]") -> None:
        self.wanted = wanted
        self.expected = wanted.start
        self.heard = time.monotonic()
        self._client = access.client(wanted.hub)
        self._output = output
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"receive {wanted.name}", daemon=True)

    @property
    def is_done(self) -> bool:
        """Whether all of the range has been taken."""
        return self.expected >= self.wanted.end

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the SDK to close the link; its thread ends by itself, up to a second later, and is not waited for."""
        self._stopped.set()
        self._client.close()

    def _run(self) -> None:
        prefetch = min(_PREFETCH, self.wanted.size)
        try:
            self._client.receive_batch(
                lambda _, events: self._put(events),
                max_batch_size=prefetch,
                partition_id=self.wanted.partition,
                prefetch=prefetch,
                starting_position=self.wanted.start,
                starting_position_inclusive=True,
                on_error=lambda _, error: self._put(error),
            )
        except Exception as error:  # the thread has no one to raise to: the reader of the queue raises
            self._put(error)

    def _put(self, item: "list[EventData] | Exception") -> None:
        while not self._stopped.is_set():
            try:
                self._output.put((self, item), timeout=0.2)
            except queue.Full:
                continue
            # Counted from here: a reader that took its time must not look like a silent hub.
            self.heard = time.monotonic()
            return


def receive(access: HubAccess, ranges: Iterable[HubRange]) -> Iterator[Row]:
    """All events of some ranges, of each partition in order; partitions are received at the same time.

    Every sequence number is checked: the SDK repeats events when it reconnects, and retention may have taken some.

    Raises:
        OutsideError: if events are gone (and ``fail_on_data_loss``), nothing came in time, or the hub refused.
    """
    output: queue.Queue[tuple[_Receiver, Any]] = queue.Queue(_QUEUED_BATCHES)
    receivers = {_Receiver(access, wanted, output) for wanted in ranges}
    for receiver in receivers:
        receiver.start()
    try:
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
            if isinstance(item, Exception):
                raise OutsideError(_failure(receiver.wanted.name, item))
            yield from _rows(access, receiver, item)
            if receiver.is_done and receiver in waiting:
                receiver.stop()
                waiting.discard(receiver)
    finally:
        for receiver in receivers:
            receiver.stop()


def _rows(access: HubAccess, receiver: _Receiver, events: "Sequence[EventData]") -> Iterator[Row]:
    wanted = receiver.wanted
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
    state = partition_state(access, wanted.hub, wanted.partition)
    if state.begin >= wanted.end:
        _gap(access, wanted, first, wanted.end - 1)
        return
    msg = (
        f"nothing came from {wanted.name} for {access.timeout_seconds:g} s, although the hub holds the events {first}"
        f" to {wanted.end - 1}; check the network and whether other readers use the consumer group {access.group!r}"
    )
    raise OutsideError(msg)
