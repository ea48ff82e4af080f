"""``pegel stream`` within this process, on the session of the tests: it runs until it is told to stop."""

import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from equipment.hubs import Hubs
from equipment.ingested_tables import differences
from equipment.judged_events import LoggedEvent
from equipment.seeded_events import FEEDBACK, seeded_events
from pyspark.sql import SparkSession

from pegel.conf.settings import Settings
from pegel.jobs.stream import MicroBatches, _Loop, _run
from pegel.streaming.ingest.sinks import create_tables
from pegel.streaming.verify.verification import Verification
from pegel.tables.delta import DeltaTables

PATIENCE_SECONDS = 300.0


class LiveStream:
    """The stream of some hubs, which may be started again and again.

    Args:
        spark: the session.
        hubs: what it reads, started.
        folder: for its tables and its checkpoint.
        source: settings of the source beside those of the hubs.
    """

    def __init__(self, spark: SparkSession, hubs: Hubs, folder: Path, source: dict[str, Any] | None = None) -> None:
        self._spark, self._hubs = spark, hubs
        self._events = seeded_events(31, datetime.now(UTC), 1_000_000)
        self._rng = random.Random(31)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: BaseException | None = None
        sections = {
            "storage": {"root": str(folder / "tables")},
            "source": hubs.source() | (source or {}),
            "ingest": {"trigger_seconds": 0.2},
            "watch": {"block_min_events": 20},
        }
        self.settings = Settings.model_validate(sections)
        self.tables = DeltaTables(self.settings.storage.root)
        create_tables(self.tables)

    def start(self) -> None:
        """Start it; what ends it is kept in ``failure``."""
        self._stop.clear()
        self.failure = None
        self._thread = threading.Thread(target=self._run, name="live-stream")
        self._thread.start()

    def stop(self) -> None:
        """Let it end in order; an error of its own is raised."""
        self._stop.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def join(self) -> None:
        """Wait until it has ended, by itself or because it was told to."""
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
            assert not self._thread.is_alive(), "the stream did not end"

    def send(self, count: int) -> None:
        """Send the next so many seeded events."""
        by_partition: dict[tuple[str, str], list[bytes]] = {}
        for _ in range(count):
            event = next(self._events)
            place = ("feedback", "0") if event.hub == FEEDBACK else ("predictions", str(self._rng.randrange(2)))
            by_partition.setdefault(place, []).append(event.body)
        self._hubs.send(by_partition)

    def read(self) -> int:
        """How many events the micro-batches hold that were committed."""
        return sum(one["count"] for row in self.tables.read("batches") for one in row["offsets"])

    def wait_until_read(self, count: int) -> None:
        """Wait for so many."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.read() < count:
            assert self.failure is None, self.failure
            assert time.monotonic() < deadline, f"only {self.read()} of {count} events were read"
            time.sleep(0.1)

    def differences(self, events: list[LoggedEvent]) -> list[Any]:
        """What stands in the tables otherwise than it must, by the recomputation and by ``pegel verify``."""
        report = Verification(self.tables, self.settings, {}).run()
        broken = [str(difference) for law in report.laws for difference in law.differences]
        return [*differences(self.tables, events, self.settings), *broken]

    def _run(self) -> None:
        micro_batches = MicroBatches(self._spark, self.settings)
        try:
            _run(self._spark, self.settings, micro_batches, _Loop(self._stop, lambda: None), available_now=False)
        except BaseException as error:  # it is the test's to judge
            self.failure = error
