"""One stream with its hubs and tables, whose processes are ended one after the other."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from equipment import standby
from equipment.hubs import Hubs
from equipment.recompute import tally_of
from equipment.seeded_events import FEEDBACK, seeded_events

from pegel.conf.loading import load_settings
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn, make_grid
from pegel.schemas.partials import ANSWERED, tally_to_row
from pegel.tables.delta import DeltaTables

STORED = ("predictions", "feedback", "dead_letters", "profiles")
PER_CYCLE = 75
PER_LOOK = 12
LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 480.0
GRID = make_grid(
    "assistant",
    [
        GridColumn("length", NUMERIC, "input_length", center=60.0, scale=35.0),
        GridColumn("amount", NUMERIC, "features.amount", center=100.0, scale=40.0),
        GridColumn("output", CATEGORICAL, "output", categories=("transfer", "card")),
    ],
)


@dataclass(frozen=True, slots=True)
class Life:
    """What is kept of a process of the stream.

    Attributes:
        ended: the fault point at which it died, or how it ended else.
        seconds: from when it might begin to its end.
        ready_seconds: from its start to its first committed micro-batch, without the time it was held back; None if it
            ended before.
    """

    ended: str
    seconds: float
    ready_seconds: float | None

    def __str__(self) -> str:
        ready = "before its first commit" if self.ready_seconds is None else f"ready in {self.ready_seconds:.1f} s"
        return f"{self.ended} after {self.seconds:.1f} s, {ready}"


class StreamUnderKills:
    """A stream that always has a successor waiting.

    Args:
        hubs: what it reads, started.
        folder: for settings, tables and logs.
        seed: of the events and of where they go.
        collect_events: micro-batches of up to so many events are written by the driver, larger ones by Spark.

    Attributes:
        sent: how many events.
        lives: its processes that have ended, in order.
    """

    def __init__(self, hubs: Hubs, folder: Path, seed: int, collect_events: int) -> None:
        self.hubs, self.folder, self.sent = hubs, folder, 0
        self.lives: list[Life] = []
        self._rng = random.Random(seed)
        self._events = seeded_events(seed, datetime.now(UTC), 1_000_000)
        self._config = folder / "kills.yml"
        self._config.write_text(yaml.safe_dump(_sections(hubs, folder, collect_events)))
        self._log = (folder / "stream.log").open("wb")
        self._started: list[subprocess.Popen[bytes]] = []
        self.settings = load_settings(str(self._config), environ={})
        self.tables = DeltaTables(self.settings.storage.root)
        _add_baseline(self.tables)
        self._next = self._start()

    def close(self) -> None:
        """End every process that was started here."""
        for process in self._started:
            _kill(process)
        self._log.close()

    def die_at(self, point: str, *, last: bool = False) -> None:
        """Let the next process go until it dies at a fault point, while events come."""
        self.send(PER_CYCLE)
        begun = time.monotonic()
        process = self._take_over(point, last=last)
        deadline = begun + PATIENCE_SECONDS
        while True:
            try:
                code = process.wait(LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"the stream did not get to {point} in {PATIENCE_SECONDS:.0f} s"
                self.send(PER_LOOK)
        assert code == -signal.SIGKILL, f"the stream ended by itself with {code} before {point}: {self._last_words()}"
        self._remember(process, point, begun)

    def die_after(self, seconds: float, *, last: bool = False) -> None:
        """Let the next process go for so long."""
        self.send(PER_CYCLE)
        begun = time.monotonic()
        process = self._take_over("", last=last)
        time.sleep(seconds)
        assert process.poll() is None, f"the stream ended with {process.returncode}: {self._last_words()}"
        _kill(process)
        self._remember(process, "killed", begun)

    def finish(self) -> None:
        """Let the last process, which was started to take what the hubs hold, end by itself."""
        # Whatever the one before had done, there is something to commit.
        self.send(PER_LOOK)
        begun = time.monotonic()
        self._begin(self._next, "")
        code = self._next.wait(PATIENCE_SECONDS)
        assert code == 0, self._last_words()
        self._remember(self._next, "finished", begun)

    def is_half_written(self) -> bool:
        """Whether a table holds rows of a micro-batch that has no commit mark."""
        highest = "SELECT coalesce(max(batch_id), -1) AS n FROM t"
        last = {
            name: max((row["n"] for row in self.tables.read(name, highest)), default=-1)
            for name in (*STORED, "batches")
        }
        return max(last.values()) > last["batches"]

    def send(self, count: int) -> None:
        """Send the next so many seeded events, partition by partition."""
        by_partition: dict[tuple[str, str], list[bytes]] = {}
        for _ in range(count):
            event = next(self._events)
            hub = "feedback" if event.hub == FEEDBACK else "predictions"
            partition = "0" if hub == "feedback" else str(self._rng.randrange(2))
            by_partition.setdefault((hub, partition), []).append(event.body)
        self.hubs.send(by_partition)
        self.sent += count

    def _ready_file(self, number: int) -> Path:
        return self.folder / f"ready_{number}"

    def _remember(self, process: "subprocess.Popen[bytes]", ended: str, begun: float) -> None:
        file = self._ready_file(self._started.index(process))
        # It may have died between making the file and writing it.
        told = file.read_text(encoding="utf-8") if file.exists() else ""
        self.lives.append(Life(ended, time.monotonic() - begun, float(told) if told else None))

    def _last_words(self) -> str:
        return (self.folder / "stream.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _take_over(self, point: str, *, last: bool) -> "subprocess.Popen[bytes]":
        process = self._next
        self._begin(process, point)
        self._next = self._start(*(("--available-now",) if last else ()))
        return process

    def _start(self, *more: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, standby.__file__, "--config", str(self._config), *more]
        times = {
            standby.READY_FILE: str(self._ready_file(len(self._started))),
            standby.STARTED: str(time.monotonic()),
        }
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, **times},
        )
        self._started.append(process)
        return process

    @staticmethod
    def _begin(process: "subprocess.Popen[bytes]", point: str) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{point}\n".encode())
        process.stdin.close()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to a process and its JVM at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _sections(hubs: Hubs, folder: Path, collect_events: int) -> dict[str, Any]:
    return {
        "storage": {"root": str(folder / "tables")},
        "source": {"max_events_per_trigger": 2 * PER_CYCLE, **hubs.source()},
        "ingest": {
            "trigger_seconds": 0.2,
            "segment_attributes": ["country"],
            "segment_cap": 3,
            "collect_events": collect_events,
        },
        "watch": {"block_min_events": 20, "window_seconds": [10, 60]},
        # A process that lives for seconds is not worth compiling for: neither the JVM's code nor Spark's plans; nor is
        # its rubbish worth threads of their own.
        "spark": {
            "spark.driver.memory": "1g",
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.shuffle.partitions": "1",
            "spark.databricks.delta.snapshotPartitions": "1",
        },
    }


def _add_baseline(tables: DeltaTables) -> None:
    """A baseline of version 1, so that blocks are judged, and their errors too."""
    now = datetime.now(UTC)
    columns = [
        {name: getattr(column, name) for name in GridColumn.__slots__} | {"categories": list(column.categories)}
        for column in GRID.columns
    ]
    tables.append("grids", [{"grid": GRID.grid, "model": GRID.model, "created_at": now, "columns": columns}])
    tally = tally_of(list(_baseline_rows()), GRID, 500)
    tally.counts[ANSWERED] = tally.n
    counted = tally_to_row(tally)
    baseline = {"baseline_id": "b1", "version": "1", "created_at": now, "source": "a test"}
    tables.append("baselines", [{**baseline, "model": GRID.model, "grid": GRID.grid, **counted}])


def _baseline_rows() -> Iterator[dict[str, Any]]:
    for i in range(600):
        yield {
            "error_type": None,
            "input_tokens": 1,
            "output_tokens": 1,
            "input": "x" * (i % 120),
            "features": {"amount": str(i % 200)},
            "output": ("transfer", "card", "limit")[i % 3],
        }
