"""The two kinds of hub that the stream reads, as the kill tests see them: what to set, to send and to read back."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from equipment.judged_events import LoggedEvent
from equipment.kafka_broker import KafkaBroker

from pegel.local.eventhubs import EventHubsServer, serve_in_thread

PARTITIONS = {"predictions": 2, "feedback": 1}
READ_SECONDS = 60.0


class Hubs(Protocol):
    """Both hubs; a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def source(self) -> dict[str, Any]:
        """The section ``source`` of the settings."""
        ...

    def send(self, bodies: Mapping[tuple[str, str], Sequence[bytes]]) -> None:
        """Send to (hub, partition), in order; comes back when the hubs have them."""
        ...

    def events(self) -> list[LoggedEvent]:
        """Every event that the hubs hold, read by a client that is not the stream's."""
        ...

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Go away, and come back under the same address."""
        ...


class AmqpHubs:
    """The local Event Hubs, by the real SDK."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = EventHubsServer(PARTITIONS, folder / "hubs")
        self._serving = serve_in_thread(self.server)

    def __enter__(self) -> Self:
        self._secret = self._serving.__enter__().connection_string
        return self

    def __exit__(self, *error: Any) -> None:
        self._serving.__exit__(*error)

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._serving.__exit__(None, None, None)
        meanwhile()
        self._serving = serve_in_thread(self.server)
        self._serving.__enter__()

    def source(self) -> dict[str, Any]:
        return {"kind": "eventhubs", "eventhubs": {"connection_string": _secret_file(self._folder, self._secret)}}

    def send(self, bodies: Mapping[tuple[str, str], Sequence[bytes]]) -> None:
        from azure.eventhub import EventData, EventHubProducerClient

        for (hub, partition), some in bodies.items():
            with EventHubProducerClient.from_connection_string(self._secret, eventhub_name=hub) as client:
                client.send_batch([EventData(body) for body in some], partition_id=partition)

    def events(self) -> list[LoggedEvent]:
        return [event for hub in PARTITIONS for event in self._events_of(hub)]

    def _events_of(self, hub: str) -> list[LoggedEvent]:
        from azure.eventhub import EventHubConsumerClient

        consumer = EventHubConsumerClient.from_connection_string(self._secret, "$Default", eventhub_name=hub)
        ends = [consumer.get_partition_properties(p) for p in consumer.get_partition_ids()]
        held = [end for end in ends if not end["is_empty"]]
        wanted = sum(end["last_enqueued_sequence_number"] + 1 - end["beginning_sequence_number"] for end in held)
        events: list[LoggedEvent] = []
        complete = threading.Event()

        def take(context: Any, batch: Any) -> None:
            for event in batch:
                place = hub, context.partition_id, event.sequence_number
                events.append(LoggedEvent(*place, event.enqueued_time, b"".join(event.body)))
            if len(events) >= wanted:
                complete.set()

        options = {"on_event_batch": take, "starting_position": "-1"}
        receiving = threading.Thread(target=consumer.receive_batch, kwargs=options, daemon=True)
        receiving.start()
        assert complete.wait(READ_SECONDS), f"only {len(events)} of {wanted} events of {hub} could be read back"
        consumer.close()
        receiving.join(30)
        return events


class KafkaHubs:
    """A real Kafka broker with TLS, which stands for Event Hubs' Kafka endpoint."""

    def __init__(self, folder: Path, broker: KafkaBroker | None = None) -> None:
        self._folder = folder
        self._broker = broker or KafkaBroker(folder / "broker", PARTITIONS)

    def __enter__(self) -> Self:
        self._broker.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._broker.__exit__(*error)

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._broker.restart(meanwhile)

    def source(self) -> dict[str, Any]:
        kafka = {
            "bootstrap_servers": self._broker.bootstrap_servers,
            "truststore_pem": self._broker.truststore_pem,
            "connection_string": _secret_file(self._folder, self._broker.password),
        }
        return {"kind": "kafka", "kafka": kafka}

    def send(self, bodies: Mapping[tuple[str, str], Sequence[bytes]]) -> None:
        from confluent_kafka import Producer

        failed: list[object] = []

        def told(error: object, _: object) -> None:
            if error is not None:
                failed.append(error)

        producer = Producer(self._broker.client_options())
        for (hub, partition), some in bodies.items():
            for body in some:
                producer.produce(hub, body, partition=int(partition), on_delivery=told)
        assert producer.flush(READ_SECONDS) == 0
        assert failed == []

    def events(self) -> list[LoggedEvent]:
        from datetime import UTC, datetime

        from confluent_kafka import Consumer, KafkaError, TopicPartition

        options = {"group.id": "reads-back", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = Consumer({**self._broker.client_options(), **options})
        consumer.assign([TopicPartition(hub, p, 0) for hub, count in PARTITIONS.items() for p in range(count)])
        messages, left = [], sum(PARTITIONS.values())
        while left:
            message = consumer.poll(READ_SECONDS)
            assert message is not None, f"{left} partitions could not be read to their end"
            if message.error() is None:
                messages.append(message)
            else:
                # The end of a partition, which transactions may have put behind its last record.
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                left -= 1
        consumer.close()
        return [
            LoggedEvent(
                m.topic(),
                str(m.partition()),
                m.offset(),
                datetime.fromtimestamp(m.timestamp()[1] / 1e3, UTC),
                m.value() or b"",
            )
            for m in messages
        ]


def _secret_file(folder: Path, secret: str) -> dict[str, str]:
    path = folder / "connection_string"
    path.write_text(secret, encoding="utf-8")
    return {"file": str(path)}
