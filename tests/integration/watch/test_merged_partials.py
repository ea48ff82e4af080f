"""Where old partials were added up to minutes, the watch says the same numbers, and none that it cannot know."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from equipment.watched_stream import BatchPlan, Piece, Store, batches_of
from equipment.watched_tables import register, store_and_watch

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.partials import FEEDBACK_KIND
from pegel.schemas.tables import TABLES
from pegel.streaming.watch.history import History
from pegel.streaming.watch.rebuild import Rebuild
from pegel.streaming.watch.references import BaselineCatalog
from pegel.streaming.watch.retention import mergeable_up_to
from pegel.streaming.watch.watcher import Watcher, WatchOutput, needed_since
from pegel.tables.delta import DeltaTables
from pegel.tables.merging import MergingTables, merged_up_to

SMALL = {"watch": {"block_min_events": 60, "window_seconds": [10, 60, 120]}}
COUNT, LATE_AT = 60, 50
MERGE_BEFORE, KEPT = 45, timedelta(seconds=60)

Row = dict[str, Any]


def plans() -> list[BatchPlan]:
    made = []
    for i in range(COUNT):
        pieces = [Piece(n=35, shift=80 if i >= 40 else 0), Piece(segment="tenant=a", n=9), Piece("3", n=20)]
        if i % 5 == 4:
            pieces.append(Piece(kind=FEEDBACK_KIND, late_s=20, n=6, wrong=1))
        if i >= LATE_AT and i % 4 == 0:
            # About minutes that have been added up by then; one label is about a window without a partial of its own.
            pieces += [
                Piece(late_s=150, n=3),
                Piece(kind=FEEDBACK_KIND, late_s=3 * i, n=2),
                Piece("3", late_s=900, n=1),
            ]
        made.append(BatchPlan(tuple(pieces), seconds=3, ids=10**9 if i == 20 else 1))
    return made


class Watched:
    """A stream of which old partials were added up before a restart, and what one would have said without."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.model_validate({"storage": {"root": str(folder)}} | SMALL)
        self.tables = MergingTables(str(folder))
        register(self.tables)
        self.batches = batches_of(plans())
        self.outputs = store_and_watch(self.settings, self.tables, self.batches, {MERGE_BEFORE: self.merge})
        self.expected = self.watch_in_memory()
        merged = f"SELECT * FROM t WHERE batch_id <= {merged_up_to(self.tables)}"
        self.sums = self.tables.read("profiles", merged)
        self.minutes = {row["window_start"] for row in self.sums}

    def merge(self) -> None:
        self.up_to = mergeable_up_to(self.tables, KEPT)
        assert self.tables.merge(self.up_to).rows_after > 0

    def watch_in_memory(self) -> list[WatchOutput]:
        store = Store()
        watcher = Watcher(self.settings.watch, BaselineCatalog(self.tables), load=store.load)
        outputs = []
        for batch in self.batches:
            store.add_batch(batch)
            outputs.append(watcher.advance(batch.batch_id, batch.partials, batch.clock))
        return outputs

    def can_be_told(self, row: Row) -> bool:
        start: datetime = row["window_start"]
        return row["window_s"] >= 60 or start.replace(second=0) not in self.minutes


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("merged"))


def blocks(outputs: list[WatchOutput]) -> list[Row]:
    return [row for output in outputs for row in output.block_rows]


def metrics(outputs: list[WatchOutput]) -> list[Row]:
    return [row for output in outputs for row in output.metric_rows]


def ordered(rows: list[Row], name: str) -> list[Row]:
    return sorted(rows, key=lambda row: tuple(row[k] for k in TABLES[name].key))


def test_only_old_partials_become_minutes_and_no_event_is_lost(watched: Watched) -> None:
    ids = [batch.batch_id for batch in watched.batches]
    assert ids[20] < watched.up_to < ids[MERGE_BEFORE - 19]
    kept = watched.tables.read("profiles", f"SELECT * FROM t WHERE batch_id > {watched.up_to}")
    assert {row["batch_id"] for row in kept} == set(ids[ids.index(watched.up_to) + 1 :])
    assert {row["window_s"] for row in kept} == {10}
    assert {row["window_s"] for row in watched.sums} == {60}
    for segment, n in (("*", 55), ("tenant=a", 9)):
        counted = sum(row["counts"].get("events", 0) for row in watched.sums if row["segment"] == segment)
        assert counted == n * (ids.index(watched.up_to) + 1)


def test_a_restart_after_a_merge_decides_the_same_and_tells_the_same_of_every_window_it_can_know(
    watched: Watched,
) -> None:
    assert blocks(watched.outputs) == blocks(watched.expected)
    restart = watched.batches[MERGE_BEFORE].batch_id
    expected = metrics(watched.expected)
    told = [row for row in expected if row["batch_id"] < restart or watched.can_be_told(row)]
    assert metrics(watched.outputs) == told
    again = {row["window_s"] for row in told if row["batch_id"] > restart and row["window_start"] in watched.minutes}
    assert again == {60, 120}
    assert len(told) < len(expected), "windows of ten seconds within a minute cannot be told"


def test_a_rebuild_begins_after_the_minutes_and_finds_what_the_stream_said(watched: Watched, tmp_path: Path) -> None:
    out = DeltaTables(str(tmp_path))
    rebuild = Rebuild(History(watched.tables), build_watcher(watched.settings, watched.tables), out)
    while rebuild.step():
        pass
    assert watched.up_to < rebuild.first < watched.batches[MERGE_BEFORE].batch_id
    for name, rows in (("blocks", blocks(watched.outputs)), ("metrics", metrics(watched.outputs))):
        known = [row for row in rows if name == "blocks" or watched.can_be_told(row)]
        expected = DeltaTables(str(tmp_path / "expected"))
        expected.append(name, [row for row in known if row["batch_id"] >= rebuild.first])
        found = ordered(out.read(name), name)
        assert found
        assert found == ordered(expected.read(name), name)


def test_a_rebuild_stops_where_partials_were_added_up_under_its_hands(watched: Watched, tmp_path: Path) -> None:
    shutil.copytree(watched.tables.uri("profiles"), tmp_path / "profiles")
    for name in ("batches", "blocks", "grids", "baselines"):
        shutil.copytree(watched.tables.uri(name), tmp_path / name)
    tables = MergingTables(str(tmp_path))
    rebuild = Rebuild(History(tables), build_watcher(watched.settings, tables), DeltaTables(str(tmp_path / "out")))
    tables.merge(rebuild.first)
    with pytest.raises(OutsideError, match="added up"):
        rebuild.step()


def test_nothing_is_mergeable_before_a_block_has_closed(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    assert mergeable_up_to(tables, KEPT) == -1
    settings = Settings.model_validate(SMALL)
    few = batches_of([BatchPlan((Piece(n=1),), seconds=3) for _ in range(2)])
    store_and_watch(settings, tables, few, {})
    assert mergeable_up_to(tables, timedelta(0)) == -1


def test_what_an_open_block_or_an_open_window_holds_is_not_mergeable(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    settings = Settings.model_validate({"watch": {"block_min_events": 60, "block_max_seconds": 100.0}})
    # A block of many and one of few that stays open; then all partials but the first are about the newest minute.
    pieces = (Piece(n=70), Piece(segment="tenant=a", n=1))
    batches = batches_of([BatchPlan(pieces if i != 1 else pieces[:1], seconds=3) for i in range(3)])
    store_and_watch(settings, tables, batches, {})
    assert mergeable_up_to(tables, timedelta(0)) == -1


def test_windows_that_are_not_final_are_not_mergeable_though_every_block_has_closed(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path))
    settings = Settings.model_validate(SMALL)
    store_and_watch(settings, tables, batches_of([BatchPlan((Piece(n=70),), seconds=3) for _ in range(3)]), {})
    assert len(tables.read("blocks")) == 3
    assert mergeable_up_to(tables, timedelta(0)) == -1


def test_a_part_of_a_minute_is_loaded_with_the_sum_that_holds_it(watched: Watched) -> None:
    start = min(watched.minutes) + timedelta(seconds=20)
    found = History(watched.tables).partials(start, start + timedelta(seconds=10), 2**62)
    assert {(p.window_start, p.window_s) for p in found} == {(min(watched.minutes), 60)}


def test_a_rebuild_begins_where_no_open_block_holds_what_was_added_up(tmp_path: Path) -> None:
    tables = MergingTables(str(tmp_path))
    settings = Settings.model_validate({"watch": {"block_min_events": 60, "block_max_seconds": 90.0}})
    pieces = (Piece(n=70), Piece(segment="tenant=a", n=1))
    store_and_watch(settings, tables, batches_of([BatchPlan(pieces, seconds=3) for _ in range(36)]), {})
    blocks = tables.read("blocks")
    tables.merge(5)
    first = History(tables).first_complete()
    assert needed_since([row for row in blocks if row["batch_id"] < first], first) > 5
    (rare,) = [row for row in blocks if row["segment"] != "*"]
    assert first > rare["batch_id"], "its block was open long after every window that was added up was final"
