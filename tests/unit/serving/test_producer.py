import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pegel.errors import OutsideError
from pegel.serving.producer import EventProducer
from pegel.serving.spool import Spool


class Hub:
    """Takes events, or only the first few of a batch before it fails."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.takes: int | None = None

    def __call__(self, bodies: Sequence[bytes]) -> None:
        self.taken += [int(body) for body in bodies[: self.takes]]
        if self.takes is not None:
            msg = "the hub is down"
            raise OutsideError(msg)


def producer_of(hub: Hub, folder: Path, memory: int = 10_000) -> EventProducer:
    return EventProducer("predictions", hub, Spool(folder), flush_seconds=0.01, max_buffered_events=memory)


class ProducerMachine(RuleBasedStateMachine):
    """Puts, collects and delivers in any order, with a hub that comes and goes and a process that restarts.

    What the model knows: events are the numbers 0, 1, 2, …; those that were only in memory when the process was killed
    may be lost, nothing else may. Copies may come, but each event comes first in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="pegel-spool-"))
        self.hub = Hub()
        self.producer = producer_of(self.hub, self.folder)
        self.put_count = 0
        self.killed: set[int] = set()

    def teardown(self) -> None:
        self.hub.takes = None
        self.producer.close()
        while self.producer.deliver():
            pass
        first_seen = list(dict.fromkeys(self.hub.taken))
        assert first_seen == sorted(first_seen)
        assert set(range(self.put_count)) - set(first_seen) <= self.killed
        assert list(self.folder.iterdir()) == []
        shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 5))
    def put(self, count: int) -> None:
        for _ in range(count):
            self.producer.put(str(self.put_count).encode())
            self.put_count += 1

    @rule()
    def collect(self) -> None:
        self.producer.collect()

    @rule(takes=st.one_of(st.none(), st.integers(0, 3)))
    def deliver(self, takes: int | None) -> None:
        self.hub.takes = takes
        sent = self.producer.deliver()
        assert not (sent and takes is not None)

    @rule(hub_is_up=st.booleans())
    def restart(self, hub_is_up: bool) -> None:
        self.hub.takes = None if hub_is_up else 0
        self.producer.close()
        assert self.producer.counts().waiting == 0
        self.producer = producer_of(self.hub, self.folder)

    @rule()
    def kill(self) -> None:
        in_memory = [*self.producer._buffer, *(self.producer._batch[1] if self.producer._batch else ())]
        self.killed |= {int(body) for body in in_memory}
        self.producer = producer_of(self.hub, self.folder)

    @invariant()
    def nothing_is_dropped_while_the_disk_works(self) -> None:
        assert self.producer.counts().dropped == 0


TestProducerModel = ProducerMachine.TestCase
TestProducerModel.settings = settings(max_examples=60, stateful_step_count=25)


def test_producer_sends_from_memory_and_leaves_no_file_while_the_hub_is_up(tmp_path: Path) -> None:
    hub = Hub()
    producer = producer_of(hub, tmp_path)
    for n in range(3):
        producer.put(str(n).encode())
        producer.collect()
        assert producer.deliver()
    assert hub.taken == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []
    counts = producer.counts()
    assert (counts.accepted, counts.sent, counts.waiting, counts.hub_is_down) == (3, 3, 0, False)


def test_producer_spills_in_order_while_the_hub_is_down_and_sends_later(tmp_path: Path) -> None:
    hub = Hub()
    hub.takes = 0
    producer = producer_of(hub, tmp_path)
    for n in range(5):
        producer.put(str(n).encode())
        producer.collect()
        producer.deliver()
    assert producer.counts().hub_is_down
    assert producer.counts().segments > 0
    hub.takes = None
    while producer.deliver():
        pass
    assert hub.taken == [0, 1, 2, 3, 4]
    assert producer.counts().sent == 5


def test_put_does_not_wait_while_the_hub_hangs_and_nothing_is_lost(tmp_path: Path) -> None:
    entered, released = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def hanging(bodies: Sequence[bytes]) -> None:
        entered.set()
        released.wait()
        taken.extend(bodies)

    producer = EventProducer("hub", hanging, Spool(tmp_path), flush_seconds=0.001, max_buffered_events=10)
    producer.start()
    producer.put(b"0")
    assert entered.wait(30)
    # Far more than the memory holds: the collector moves them to disk while the sender hangs.
    for n in range(1, 200):
        producer.put(str(n).encode())
        while producer.counts().waiting > 5:
            threading.Event().wait(0.001)
    assert producer.counts().dropped == 0
    producer.close(patience_seconds=0.2)
    assert taken == []
    left = Spool(tmp_path)
    bodies: list[bytes] = []
    while (segment := left.oldest()) is not None:
        bodies += segment.bodies
        left.remove(segment.number)
    released.set()
    assert bodies == [str(n).encode() for n in range(200)]


def test_threads_send_what_is_put_and_close_flushes_the_rest(tmp_path: Path) -> None:
    hub = Hub()
    producer = producer_of(hub, tmp_path)
    producer.start()
    for n in range(500):
        producer.put(str(n).encode())
    producer.close(patience_seconds=30)
    assert hub.taken == list(range(500))
    assert list(tmp_path.iterdir()) == []


def test_events_are_counted_as_dropped_only_when_memory_and_disk_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    hub = Hub()
    hub.takes = 0
    producer = producer_of(hub, tmp_path, memory=3)
    monkeypatch.setattr(Spool, "_write_lines", full)
    producer.put(b"0")
    producer.collect()
    assert not producer.deliver()
    for n in range(1, 6):
        producer.put(str(n).encode())
    producer.collect()
    assert producer.counts().dropped == 2
    assert producer.counts().waiting == 4
    hub.takes = None
    monkeypatch.undo()
    producer.close()
    assert hub.taken == [0, 1, 2, 3]
