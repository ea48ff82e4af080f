"""The producer of events: the answer never waits for the hub, and the hub's absence loses nothing. Edge.

Two threads. The collector empties the buffer every ``flush_seconds``: to the sender while the hub takes events, to the
spool while it does not or is busy. The sender sends batches in the order in which their events came, and waits longer
after each failure. Delivery is at least once: after a failure a batch is sent again whole, and the stream drops the
copies by their ``event_id``. A process that is killed loses what is in memory: what came in the last
``flush_seconds``, and the batch that was under way.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pegel.errors import OutsideError
from pegel.serving.spool import Spool

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
MAX_BATCH_EVENTS = 5000

Send = Callable[[Sequence[bytes]], None]
"""Sends events in order; raises :class:`OutsideError` if the hub did not take all of them."""


@dataclass(frozen=True, slots=True)
class ProducerCounts:
    """What became of the events of this process and of those that an earlier one left in the spool.

    Attributes:
        accepted: handed over by the application.
        sent: taken by the hub, those from the spool included.
        dropped: lost, since neither the hub nor the disk took them and the memory was full.
        waiting: in memory now.
        segments: on disk now.
        hub_is_down: whether the last attempt failed.
    """

    accepted: int
    sent: int
    dropped: int
    waiting: int
    segments: int
    hub_is_down: bool


class EventProducer:
    """Takes events at any time and sends them from a thread of its own.

    Args:
        name: of the hub, for the log.
        send: sends a batch.
        spool: where events wait while the hub is down.
        flush_seconds: how long an event waits in memory at most.
        max_buffered_events: how many may be in memory at once; more only come together when the disk fails too.
    """

    def __init__(self, name: str, send: Send, spool: Spool, *, flush_seconds: float, max_buffered_events: int) -> None:
        self._name = name
        self._send = send
        self._spool = spool
        self._flush_seconds = flush_seconds
        self._max_buffered = max_buffered_events
        # The answer takes only the first lock, under which nothing touches the disk.
        self._buffer_lock = threading.Lock()
        self._lock = threading.Lock()
        self._buffer: deque[bytes] = deque()
        self._batch: tuple[int, list[bytes]] | None = None
        self._accepted = self._sent = self._dropped = self._failures = 0
        self._stop = threading.Event()
        self._work = threading.Event()
        self._threads = [
            threading.Thread(target=loop, name=f"events-{part}-{name}", daemon=True)
            for part, loop in (("collect", self._collect_until_stopped), ("send", self._send_until_stopped))
        ]

    def start(self) -> None:
        """Begin to collect and to send."""
        for thread in self._threads:
            thread.start()

    def put(self, body: bytes) -> None:
        """Take one event, without waiting for the hub or the disk."""
        with self._buffer_lock:
            self._accepted += 1
            if len(self._buffer) < self._max_buffered:
                self._buffer.append(body)
            else:
                self._dropped += 1

    def counts(self) -> ProducerCounts:
        """What became of the events until now."""
        with self._lock, self._buffer_lock:
            waiting = len(self._buffer) + (len(self._batch[1]) if self._batch else 0)
            return ProducerCounts(
                self._accepted, self._sent, self._dropped, waiting, self._spool.segments, self._failures > 0
            )

    def collect(self) -> None:
        """Empty the buffer: to the sender if it is idle and nothing is older, else to the spool."""
        with self._buffer_lock:
            bodies = [self._buffer.popleft() for _ in range(min(len(self._buffer), MAX_BATCH_EVENTS))]
        if not bodies:
            return
        with self._lock:
            if self._batch is None and self._spool.is_empty and not self._failures:
                self._batch = (self._spool.reserve(), bodies)
            elif not self._spooled(bodies):
                with self._buffer_lock:
                    self._buffer.extendleft(reversed(bodies))
        self._work.set()

    def deliver(self) -> bool:
        """Send the oldest batch, from memory or from the spool.

        Returns:
            whether one was sent; False if there is none, or the hub did not take it.
        """
        with self._lock:
            batch = self._batch or self._from_spool()
        if batch is None:
            return False
        number, bodies = batch
        try:
            self._send(bodies)
        except OutsideError as error:
            self._keep(number, error)
            return False
        with self._lock:
            self._sent += len(bodies)
            if self._failures:
                log.warning("the hub %r takes events again", self._name)
            self._failures = 0
            if self._batch is not None:
                self._batch = None
            else:
                self._spool.remove(number)
        return True

    def close(self, patience_seconds: float = 5.0) -> None:
        """Send what is there; what the hub does not take in time is left in the spool for the next start."""
        self._stop.set()
        self._work.set()
        deadline = time.monotonic() + patience_seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        hangs = any(thread.is_alive() for thread in self._threads)
        while self.counts().waiting:
            self.collect()
            while not hangs and time.monotonic() < deadline and self.deliver():
                pass
            if not self._save():
                break

    def _save(self) -> bool:
        """Put what is in memory on disk: the batch that hangs too, since nobody knows how it will end."""
        with self._lock, self._buffer_lock:
            batch, rest = self._batch, list(self._buffer)
            if (batch and not self._spooled(batch[1], batch[0])) or (rest and not self._spooled(rest)):
                lost = len(rest) + (len(batch[1]) if batch else 0)
                self._dropped += lost
                log.error("%d events for the hub %r are lost: neither hub nor disk takes them", lost, self._name)
                return False
            self._batch = None
            self._buffer.clear()
            return True

    def _spooled(self, bodies: Sequence[bytes], number: int | None = None) -> bool:
        try:
            if number is None:
                self._spool.append(bodies)
            else:
                self._spool.write(number, bodies)
        except OSError as error:
            log.error("the spool of the hub %r cannot be written, so events stay in memory: %s", self._name, error)
            return False
        return True

    def _from_spool(self) -> tuple[int, list[bytes]] | None:
        segment = self._spool.oldest()
        if segment is None:
            return None
        if segment.torn:
            log.warning("a line in the spool of the hub %r was cut off by a crash and is no event", self._name)
        return segment.number, list(segment.bodies)

    def _keep(self, number: int, error: OutsideError) -> None:
        with self._lock:
            if not self._failures:
                log.warning("events for the hub %r go to disk until it takes them again: %s", self._name, error)
            self._failures += 1
            if self._batch is not None and self._spooled(self._batch[1], number):
                self._batch = None

    def _collect_until_stopped(self) -> None:
        while not self._stop.wait(self._flush_seconds):
            self.collect()

    def _send_until_stopped(self) -> None:
        while not self._stop.is_set():
            if self.deliver():
                continue
            with self._lock:
                failures = self._failures
            if failures:
                self._stop.wait(min(FIRST_BACKOFF_SECONDS * 2 ** (failures - 1), MAX_BACKOFF_SECONDS))
            else:
                self._work.wait(self._flush_seconds)
                self._work.clear()
