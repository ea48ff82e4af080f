"""A producer that keeps a rate by the clock: what the stream has not taken waits in the broker."""

import threading
import time
from datetime import UTC, datetime

from confluent_kafka import Producer
from equipment.kafka_broker import KafkaBroker
from equipment.step_changes import AT_A_TIME, PER_SECOND, StepChanges

TICK_SECONDS = 0.01


class PacedProducer(threading.Thread):
    """Sends each event when it is due by the clock, whatever became of those before; partitions take turns.

    Args:
        broker: started.
        traffic: which events.
        hub: where to.
        partitions: how many it has.

    Attributes:
        begun: when the first event was due.
        behind: how many seconds the sending was behind the clock at worst.
        failures: what the broker did not take, in words.
    """

    def __init__(self, broker: KafkaBroker, traffic: StepChanges, hub: str, partitions: int) -> None:
        super().__init__(name="producer", daemon=True)
        # What is not taken is told to each event; else it would complain that the broker is gone when all is over.
        options = {**broker.client_options(), "linger.ms": 5, "queue.buffering.max.messages": 1_000_000, "log_level": 0}
        self._producer = Producer(options)
        self.traffic = traffic
        self._hub, self._partitions = hub, partitions
        self._stopped = threading.Event()
        self.begun = datetime.now(UTC)
        self.behind = 0.0
        self.failures: list[str] = []

    def send_first(self) -> None:
        """Send one event of each model of the warm-up, so that the stream has something to begin with."""
        for number in range(AT_A_TIME):
            self._send(number, datetime.now(UTC))
        self._flush()

    def run(self) -> None:
        """Send them all, or until it is stopped or one is not taken."""
        self.begun, begun, number = datetime.now(UTC), time.monotonic(), 0
        while number < self.traffic.events and not self.failures and not self._stopped.is_set():
            elapsed = time.monotonic() - begun
            self.behind = max(self.behind, elapsed - number / PER_SECOND)
            due = min(int(elapsed * PER_SECOND) + 1, self.traffic.events)
            now = datetime.now(UTC)
            for one in range(number, due):
                self._send(one, now)
            number = due
            self._producer.poll(0)
            self._stopped.wait(TICK_SECONDS)
        self._flush()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()
        if self.is_alive():
            self.join(90)

    def _send(self, number: int, now: datetime) -> None:
        partition = number // AT_A_TIME % self._partitions
        body = self.traffic.body(number, now)
        self._producer.produce(self._hub, body, partition=partition, on_delivery=self._told)

    def _flush(self) -> None:
        if left := self._producer.flush(60):
            self.failures.append(f"{left} events were not taken within 60 s")

    def _told(self, error: object, _: object) -> None:
        if error is not None:
            self.failures.append(str(error))
