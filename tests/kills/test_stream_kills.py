"""The stream as a process that dies by SIGKILL, again and again: afterwards every table is as if it never had died.

There is a stream for each kind of hub. Both run at the same time, and die in turn.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from equipment.hubs import AmqpHubs, KafkaHubs
from equipment.ingested_tables import differences
from equipment.standby import POINTS
from equipment.stream_under_kills import GRID, PER_CYCLE, StreamUnderKills

from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.tables import STREAM_TABLES, TABLES
from pegel.streaming.verify.verification import Verification
from pegel.streaming.watch.history import History
from pegel.streaming.watch.rebuild import Rebuild
from pegel.tables.delta import DeltaTables

pytestmark = pytest.mark.kills

SEED = int(os.environ.get("PEGEL_SOAK_SEED", "20261125"))
SOAK_PARTS = 10
SOAK_ROUNDS_PER_PART = 2
SOAK_RANDOM_KILLS_PER_PART = 10
LONGEST_LIFE_SECONDS = 20.0
READY_SECONDS = 60.0
STREAMS = ((AmqpHubs, 2 * PER_CYCLE), (KafkaHubs, 0))
"""Kind of hub, and up to how many events its stream collects: one is written by the driver, the other by Spark."""


@contextmanager
def one_stream_for_each_kind_of_hub(folder: Path, seed: int) -> Iterator[list[StreamUnderKills]]:
    with ExitStack() as stack:
        made = []
        for number, (kind, collect_events) in enumerate(STREAMS):
            own = folder / kind.__name__
            own.mkdir()
            hubs = stack.enter_context(kind(own))
            stream = StreamUnderKills(hubs, own, seed + number, collect_events)
            stack.callback(stream.close)
            made.append(stream)
        yield made


def let_die(
    stream: StreamUnderKills, kills: Sequence[str | float], told: Callable[[str], None] = lambda _: None
) -> int:
    """Kill one process after the other, each at a fault point or after so many seconds, and let the last one end.

    Returns:
        how many of them left a micro-batch half written.
    """
    half_written = 0
    for number, kill in enumerate(kills, start=1):
        last = number == len(kills)
        if isinstance(kill, str):
            stream.die_at(kill, last=last)
        else:
            stream.die_after(kill, last=last)
        half_written += stream.is_half_written()
        told(f"{stream.folder.name} {number} of {len(kills)}: {stream.lives[-1]}")
    stream.finish()
    told(f"{stream.folder.name}: {stream.lives[-1]}")
    return half_written


def see_that_nothing_happened(stream: StreamUnderKills) -> None:
    """Compare every table with one that was computed from what the hubs hold, with itself, and with its own laws."""
    tables, events = stream.tables, stream.hubs.events()
    batches = tables.read("batches")
    assert sum(o["count"] for row in batches for o in row["offsets"]) == len(events) == stream.sent
    assert differences(tables, events, stream.settings, {("assistant", "1"): GRID}) == []

    out = DeltaTables(str(stream.folder / "once_more"))
    rebuild = Rebuild(History(tables), build_watcher(stream.settings, tables), out)
    while rebuild.step():
        pass
    for name in ("blocks", "metrics"):
        rows, once_more = (sorted(map(repr, where.read(name))) for where in (tables, out))
        assert rows == once_more
        assert rows
    for name in STREAM_TABLES:
        keys = Counter(tuple(row[column] for column in TABLES[name].key) for row in tables.read(name))
        assert [key for key, n in keys.items() if n > 1] == []

    report = Verification(tables, stream.settings, {}).run()
    assert report.up_to == max(row["batch_id"] for row in batches)
    assert report.holds, [str(difference) for law in report.laws for difference in law.differences]


def see_that_each_was_ready_in_time(streams: Sequence[StreamUnderKills]) -> None:
    lives = [life for stream in streams for life in stream.lives]
    ready = [life.ready_seconds for life in lives if life.ready_seconds is not None]
    assert [str(life) for life in lives if (life.ready_seconds or 0.0) > READY_SECONDS] == []
    assert len(ready) >= len(streams)


@pytest.mark.timeout(1800)
def test_a_kill_at_each_fault_point_leaves_every_table_as_if_there_had_been_none(tmp_path: Path) -> None:
    points = random.Random(SEED).sample(POINTS, k=len(POINTS))
    with one_stream_for_each_kind_of_hub(tmp_path, SEED) as streams, ThreadPoolExecutor(len(streams)) as pool:
        turns = [points[number :: len(streams)] for number in range(len(streams))]
        assert sum(pool.map(let_die, streams, turns)) >= len(POINTS) // 2
        for stream in streams:
            see_that_nothing_happened(stream)
        see_that_each_was_ready_in_time(streams)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(SOAK_PARTS), ids=[f"part{n}" for n in range(SOAK_PARTS)])
def test_hundreds_of_kills_leave_every_table_as_if_there_had_been_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], part: int
) -> None:
    rng = random.Random(f"{SEED} {part}")
    kills: list[str | float] = [*POINTS * SOAK_ROUNDS_PER_PART]
    kills += [rng.uniform(0.2, LONGEST_LIFE_SECONDS) for _ in range(SOAK_RANDOM_KILLS_PER_PART)]
    rng.shuffle(kills)
    # Hours of silence would not say how far it is, nor, when it fails, after what.
    with (
        capsys.disabled(),
        one_stream_for_each_kind_of_hub(tmp_path, rng.randrange(10**9)) as streams,
        ThreadPoolExecutor(len(streams)) as pool,
    ):

        def told(line: str) -> None:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

        told(f"\nseed {SEED}, part {part}")
        turns = [kills[number :: len(streams)] for number in range(len(streams))]
        for _ in pool.map(let_die, streams, turns, [told] * len(streams)):
            pass
        for stream in streams:
            see_that_nothing_happened(stream)
        see_that_each_was_ready_in_time(streams)
