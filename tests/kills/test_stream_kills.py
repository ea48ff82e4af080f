"""The stream as a process that dies by SIGKILL, again and again: afterwards every table is as if it never had died."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from equipment.hubs import AmqpHubs, KafkaHubs
from equipment.ingested_tables import differences
from equipment.standby import POINTS
from equipment.stream_under_kills import GRID, StreamUnderKills

from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.tables import STREAM_TABLES, TABLES
from pegel.streaming.watch.history import History
from pegel.streaming.watch.rebuild import Rebuild
from pegel.tables.delta import DeltaTables

pytestmark = [pytest.mark.kills, pytest.mark.timeout(1800)]

SEED = 20261125
SOAK_ROUNDS = 20
SOAK_RANDOM_KILLS = 100
LONGEST_LIFE_SECONDS = 12.0


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[list[StreamUnderKills]]:
    """One stream for each kind of hub."""
    with ExitStack() as stack:
        made = []
        for seed, kind in ((SEED, AmqpHubs), (SEED + 1, KafkaHubs)):
            folder = tmp_path / kind.__name__
            folder.mkdir()
            hubs = stack.enter_context(kind(folder))
            stream = StreamUnderKills(hubs, folder, seed)
            stack.callback(stream.close)
            made.append(stream)
        yield made


def see_that_nothing_happened(stream: StreamUnderKills) -> None:
    """Compare every table with one that was computed from what the hubs hold, and with itself."""
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


def test_a_kill_at_each_fault_point_leaves_every_table_as_if_there_had_been_none(
    streams: list[StreamUnderKills],
) -> None:
    points = random.Random(SEED).sample(POINTS, k=len(POINTS))
    half_written = 0
    for number, point in enumerate(points):
        stream = streams[number % 2]
        stream.die_at(point, last=number >= len(points) - 2)
        half_written += stream.is_half_written()
    assert half_written >= len(POINTS) // 2
    for stream in streams:
        stream.finish()
        see_that_nothing_happened(stream)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_hundreds_of_kills_leave_every_table_as_if_there_had_been_none(streams: list[StreamUnderKills]) -> None:
    rng = random.Random(SEED)
    kills: list[str | None] = [*POINTS * SOAK_ROUNDS, *[None] * SOAK_RANDOM_KILLS]
    rng.shuffle(kills)
    for number, point in enumerate(kills):
        stream, last = streams[number % 2], number >= len(kills) - 2
        if point is None:
            stream.die_after(rng.uniform(0.2, LONGEST_LIFE_SECONDS), last=last)
        else:
            stream.die_at(point, last=last)
    for stream in streams:
        stream.finish()
        see_that_nothing_happened(stream)
