"""The real SDK against a local Event Hubs, and a client of bare frames for what the SDK never does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub._pyamqp.utils import generate_sas_token

from pegel.local.eventhubs import EventHubsServer, codec, frames, message, serve_in_thread
from pegel.local.eventhubs.log import PartitionLog
from pegel.local.eventhubs.server import EMULATOR_KEY, EMULATOR_KEY_NAME

PATIENCE_SECONDS = 30.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE_SECONDS:.0f} s in vain: {what}")
        time.sleep(0.01)


class Receiver:
    """One SDK receiver of one partition, running in a thread until the test ends."""

    def __init__(self, client: EventHubConsumerClient, partition: str, **options) -> None:
        self.events: list[EventData] = []
        self.errors: list[Exception] = []
        self.last_enqueued = None
        self._client = client
        thread = threading.Thread(
            target=client.receive_batch,
            args=(self._take,),
            kwargs={"partition_id": partition, "on_error": lambda _, error: self.errors.append(error), **options},
            daemon=True,
        )
        thread.start()

    def _take(self, context, events) -> None:
        self.last_enqueued = context.last_enqueued_event_properties
        self.events += events

    @property
    def bodies(self) -> list[str]:
        return [event.body_as_str() for event in self.events]

    def wait_for(self, count: int) -> list[EventData]:
        wait_until(lambda: len(self.events) >= count or self.errors, f"{count} events")
        assert not self.errors
        return self.events

    def wait_for_error(self) -> Exception:
        wait_until(lambda: self.errors, "an error")
        return self.errors[0]

    def close(self) -> None:
        self._client.close()


class Sdk:
    """What a test asks of a hub, by the real SDK; it does not retry, so that a refusal comes at once."""

    def __init__(self, server: EventHubsServer, hub: str) -> None:
        self.server = server
        self.hub = hub
        self._open: list = []
        self._sender: EventHubProducerClient | None = None

    def producer(self, connection_string: str | None = None, **options) -> EventHubProducerClient:
        client = EventHubProducerClient.from_connection_string(
            connection_string or self.server.connection_string,
            **{"eventhub_name": self.hub, "retry_total": 0, **options},
        )
        self._open.append(client)
        return client

    def consumer(self, group: str = "$Default", **options) -> EventHubConsumerClient:
        client = EventHubConsumerClient.from_connection_string(
            self.server.connection_string, group, **{"eventhub_name": self.hub, "retry_total": 0, **options}
        )
        self._open.append(client)
        return client

    def send(self, *bodies: str, partition: str | None = "0", key: str | None = None) -> None:
        self._sender = self._sender or self.producer()
        batch = self._sender.create_batch(partition_id=None if key else partition, partition_key=key)
        for body in bodies:
            batch.add(EventData(body))
        self._sender.send_batch(batch)

    def receiver(self, partition: str = "0", group: str = "$Default", **options) -> Receiver:
        receiver = Receiver(self.consumer(group), partition, **{"starting_position": "-1", **options})
        self._open.append(receiver)
        return receiver

    def has_readers(self, count: int, partition: int = 0) -> None:
        """Wait until so many receivers are attached: events sent from now on reach all of them."""
        there = self.server._namespace.hub(self.hub).partitions[partition].readers
        wait_until(lambda: len(there) == count, f"{count} receivers on partition {partition}")

    def close(self) -> None:
        for client in self._open:
            client.close()


class RawClient:
    """A client of bare frames: it decides itself how much credit and window it gives."""

    def __init__(self, port: int, idle_ms: int | None = None, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._stream = self.socket.makefile("rb")
        init = frames.performative(0, frames.SASL_INIT, [codec.symbol("ANONYMOUS"), codec.NULL, codec.NULL], kind=1)
        idle = codec.uint(idle_ms) if idle_ms else codec.NULL
        opened = [codec.string("raw"), codec.NULL, codec.uint(1 << 20), codec.ushort(10), idle, *[codec.NULL] * 5]
        begin = [codec.NULL, codec.uint(0), codec.uint(5), codec.uint(5), *[codec.NULL] * 4]
        self.write(frames.SASL_HEADER, init, frames.AMQP_HEADER, frames.performative(0, frames.OPEN, opened))
        self.write(frames.performative(1, frames.BEGIN, begin))
        assert self._stream.read(8) == frames.SASL_HEADER
        assert [self.read()[0], self.read()[0]] == [frames.SASL_MECHANISMS, frames.SASL_OUTCOME]
        assert self._stream.read(8) == frames.AMQP_HEADER
        assert [self.read()[0], self.read()[0]] == [frames.OPEN, frames.BEGIN]

    def write(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def raw(self) -> bytes:
        head = self._stream.read(8)
        return head + self._stream.read(int.from_bytes(head[:4], "big") - 8) if head else b""

    def read(self) -> tuple[int, object]:
        """The next performative that is no empty frame; code 0 if the server has closed."""
        frame = self.raw()
        while frame == frames.EMPTY_FRAME:
            frame = self.raw()
        return frames.parse(frame[8:])[:2] if frame else (0, None)

    def until(self, code: int) -> object:
        """Skip to the next performative of a kind."""
        while True:
            found, performative = self.read()
            assert found, "the server closed the connection"
            if found == code:
                return performative

    def attach(self, handle: int, address: str, *, receives: bool, epoch: int | None = None) -> None:
        ends = [codec.described(kind, codec.sequence([codec.string(address)])) for kind in (0x28, 0x29)]
        role = codec.boolean(receives)
        fields = [codec.string(f"{address}-{handle}"), codec.uint(handle), role, codec.ubyte(0), codec.ubyte(0), *ends]
        properties = codec.NULL
        if epoch is not None:
            properties = codec.mapping([(codec.symbol("com.microsoft:epoch"), codec.long(epoch))])
        self.write(frames.performative(1, frames.ATTACH, [*fields, *[codec.NULL] * 6, properties]))

    def give(self, handle: int, *, credit: int, window: int, received: int = 0) -> None:
        windows = [codec.uint(received), codec.uint(window), codec.uint(0), codec.uint(5)]
        link = [codec.uint(handle), codec.uint(received), codec.uint(credit)]
        self.write(frames.performative(1, frames.FLOW, [*windows, *link, *[codec.NULL] * 4]))

    def authorize(self, path: str) -> None:
        token = generate_sas_token(f"sb://127.0.0.1/{path}", EMULATOR_KEY_NAME, EMULATOR_KEY)
        self.attach(1, "$cbs", receives=False)
        asked = {"operation": "put-token", "type": "servicebus.windows.net:sastoken"}
        properties = codec.mapping((codec.string(key), codec.string(value)) for key, value in asked.items())
        request = codec.described(message.APPLICATION_PROPERTIES, properties)
        body = codec.described(message.VALUE, codec.string(token))
        self.write(*frames.transfers(1, 1, 0, request + body, 65_536))

    def close(self) -> None:
        self._stream.close()
        self.socket.close()


@pytest.fixture(autouse=True)
def _short_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK looks every 50 ms whether a link is open or an answer is there; here it looks every 2 ms."""
    monkeypatch.setattr("time.sleep", lambda seconds, sleep=time.sleep: sleep(min(seconds, 0.002)))


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], object], str], None]:
    return wait_until


@pytest.fixture
def written() -> list[str]:
    """Events that lie on partition 0 when the server starts, one a second from 1000 on; a module may override it."""
    return []


@pytest.fixture
def server(tmp_path: Path, written: list[str]) -> Iterator[EventHubsServer]:
    """A hub of two partitions, with one consumer group beside the default."""
    (tmp_path / "hubs" / "orders").mkdir(parents=True)
    log = PartitionLog(tmp_path / "hubs" / "orders" / "0.log")
    for second, body in enumerate(written, 1000):
        log.append([codec.described(message.DATA, codec.binary(body.encode()))], None, 1000 * second)
    log.close()
    with serve_in_thread(EventHubsServer({"orders": 2}, tmp_path / "hubs", consumer_groups=["audit"])) as running:
        yield running


@pytest.fixture
def sdk(server: EventHubsServer) -> Iterator[Sdk]:
    client = Sdk(server, "orders")
    yield client
    client.close()


@pytest.fixture
def sdk_of() -> type[Sdk]:
    """The class, for tests that start their own server."""
    return Sdk


@pytest.fixture
def raw(server: EventHubsServer) -> Iterator[Callable[..., RawClient]]:
    clients: list[RawClient] = []

    def connect(**options) -> RawClient:
        clients.append(RawClient(server.port, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
