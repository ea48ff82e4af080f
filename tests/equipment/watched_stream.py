"""Micro-batches of a stream that is watched, as small plans that Hypothesis can draw, and a store like the tables."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from pegel.conf.settings import WatchSettings
from pegel.schemas.grids import CATEGORICAL, DEFAULT_GRID, MISSING, NUMERIC, GridColumn, make_grid
from pegel.schemas.partials import (
    ANSWERED,
    CORRECT,
    ERRORS,
    EVENTS,
    FEEDBACK_KIND,
    LABELLED,
    LIVE,
    Partial,
    Tally,
    partial_from_row,
    tally_to_row,
)
from pegel.streaming.statistics.dispersion import Dispersion
from pegel.streaming.watch.labelled import LabelledWindow
from pegel.streaming.watch.reference import Reference
from pegel.streaming.watch.watcher import Watcher, WatchOutput, needed_since

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
MODEL = "assistant"
COLUMNS = (
    GridColumn("x", NUMERIC, "features.x", center=0.0, scale=1.0),
    GridColumn("latency_ms", NUMERIC, "latency_ms", drift=False, center=30.0, scale=10.0),
    GridColumn("output", CATEGORICAL, "output", categories=("a", "b")),
)
GRID = make_grid(MODEL, COLUMNS)
SETTINGS = WatchSettings(
    block_min_events=60,
    block_max_seconds=10.0,
    allowed_lateness_seconds=5.0,
    idle_partition_seconds=30.0,
    window_seconds=(10, 60),
    learn_blocks=100,
    learn_hours=0.05,
    label_completeness=0.6,
    label_wait_hours=0.1,
)
_CENTER_CELL = 512
_FIRST_CELL = 448


@dataclass(frozen=True)
class Piece:
    """Events or labels of one micro-batch about one window of one version and segment.

    Attributes:
        late_s: so long before the micro-batch they were made.
        n: events, or labels.
        shift: how many cells ``x`` has moved; it lies on 128 of them.
        wrong: how many of the labels are not correct; with n = 0, how many corrections make a right answer wrong, or
            below 0 a wrong one right.
        failed: how many events have an error beside the usual one in thirty.
    """

    version: str = "1"
    segment: str = "*"
    kind: str = LIVE
    late_s: int = 0
    n: int = 30
    shift: int = 0
    wrong: int = 0
    failed: int = 0


@dataclass(frozen=True)
class BatchPlan:
    """One micro-batch: how long after the one before it, and how many ids further; which partitions it read."""

    pieces: tuple[Piece, ...]
    seconds: int = 3
    ids: int = 1
    partitions: tuple[str, ...] = ("0", "1")


@dataclass(frozen=True)
class Batch:
    """One micro-batch as the watcher takes it."""

    batch_id: int
    partials: list[Partial]
    clock: dict[tuple[str, str], datetime]


def batches_of(plans: Iterable[BatchPlan], first_id: int = 0) -> list[Batch]:
    """Carry out the plans."""
    made, now, batch_id = [], START, first_id
    for plan in plans:
        partials = [_partial(piece, now, batch_id) for piece in plan.pieces]
        clock = {("predictions", partition): now for partition in plan.partitions}
        made.append(Batch(batch_id, merged(partials), clock))
        now += timedelta(seconds=plan.seconds)
        batch_id += plan.ids
    return made


def merged(partials: Sequence[Partial]) -> list[Partial]:
    """Partials with one key added up, as a micro-batch has one row a key."""
    sums: dict[tuple[Any, ...], Partial] = {}
    for p in partials:
        key = (p.model, p.version, p.segment, p.window_start, p.window_s, p.grid, p.batch_id, p.kind)
        if key in sums:
            sums[key].tally.add(p.tally)
        else:
            sums[key] = p
    return list(sums.values())


def reference(model: str, version: str) -> Reference | None:
    """Version 1 has a calibrated baseline that knows its errors, version 2 a young one, version 3 none.

    Version 4 is as version 1, and its baseline also knows that 92 % of its answers were right.
    """
    if model != MODEL or version not in {"1", "2", "4"}:
        return None
    calm = Dispersion(blocks=2000, wander=(0.0,) * 7, known_by=(inf,) * 7, autocorrelated=False)
    learned = _tally(4000, 0)
    if version in {"1", "4"}:
        learned.counts[ANSWERED] = learned.n - learned.counts[ERRORS]
    if version == "4":
        learned.counts.update({LABELLED: 4000, CORRECT: 3680})
    return Reference(GRID, learned, f"baseline-{version}", {"x": calm, "output": calm} if version in "14" else {})


def profile_row(partial: Partial) -> dict[str, Any]:
    """A partial as a row of ``profiles``."""
    names = [name for name in Partial.__slots__ if name != "tally"]
    return {name: getattr(partial, name) for name in names} | tally_to_row(partial.tally)


@dataclass
class Store:
    """What the tables hold after some micro-batches."""

    profiles: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    judged: list[dict[str, Any]] = field(default_factory=list)
    clocks: dict[int, dict[tuple[str, str], datetime]] = field(default_factory=dict)

    def add_batch(self, batch: Batch) -> None:
        self.profiles += [profile_row(p) for p in batch.partials]
        self.clocks[batch.batch_id] = dict(batch.clock)

    def add(self, output: WatchOutput) -> None:
        self.blocks += output.block_rows
        self.judged += [row for row in output.metric_rows if row.get("judged")]

    def load(self, start: datetime, end: datetime, before: int) -> list[Partial]:
        rows = (r for r in self.profiles if start <= r["window_start"] < end and r["batch_id"] < before)
        return [partial_from_row(row) for row in rows]

    def labelled(self, since: datetime, before: int, seconds: int) -> list[LabelledWindow]:
        found: dict[tuple[Any, ...], LabelledWindow] = {}
        for row in self.profiles:
            start = row["window_start"] - timedelta(seconds=row["window_start"].timestamp() % seconds)
            if start < since or row["batch_id"] >= before:
                continue
            key = (row["model"], row["version"], row["segment"])
            events, labelled, correct = (row["counts"].get(name, 0) for name in (EVENTS, LABELLED, CORRECT))
            live, at = row["kind"] == LIVE, row["batch_id"]
            window = LabelledWindow(key, start, events, labelled, correct, live, at, at)
            found.setdefault((key, start), LabelledWindow(key, start)).add(window)
        return list(found.values())

    def last_blocks(self, count: int = 64) -> list[dict[str, Any]]:
        """The last rows of every key, the newest first."""
        kept: dict[tuple[str, str, str], deque[dict[str, Any]]] = {}
        for row in self.blocks:
            kept.setdefault((row["model"], row["version"], row["segment"]), deque(maxlen=count)).append(row)
        return [row for rows in kept.values() for row in reversed(rows)]

    def watcher(self) -> Watcher:
        return Watcher(SETTINGS, reference, load=self.load, load_labelled=self.labelled, alerts_per_month=5000.0)

    def restarted(self, batch_id: int) -> Watcher:
        """A new watcher that continues with ``batch_id``, given no more than it asks for."""
        rows = self.last_blocks()
        since = needed_since(rows, batch_id)
        watcher = self.watcher()
        watcher.restore(
            rows,
            [partial_from_row(row) for row in self.profiles if since <= row["batch_id"]],
            batch_id,
            {number: clock for number, clock in self.clocks.items() if since <= number},
            self.judged,
        )
        return watcher


def watch(batches: Sequence[Batch], restarts: Iterable[int] = ()) -> tuple[list[WatchOutput], Store]:
    """Feed micro-batches to a watcher, which is replaced by a new one before those at the positions ``restarts``."""
    store, outputs, before = Store(), [], set(restarts)
    watcher = store.watcher()
    for i, batch in enumerate(batches):
        store.add_batch(batch)
        if i in before:
            watcher = store.restarted(batch.batch_id)
        outputs.append(watcher.advance(batch.batch_id, batch.partials, batch.clock))
        store.add(outputs[-1])
    return outputs, store


def _partial(piece: Piece, now: datetime, batch_id: int) -> Partial:
    made = now - timedelta(seconds=piece.late_s)
    window = made - timedelta(seconds=made.second % 10)
    if piece.kind == FEEDBACK_KIND:
        tally = Tally(Counter(labelled=piece.n, correct=piece.n - piece.wrong))
        times: tuple[datetime | None, datetime | None] = (None, None)
    else:
        tally = _tally(piece.n, piece.shift, batch_id)
        tally.counts[ERRORS] = min(piece.n, tally.counts[ERRORS] + piece.failed)
        times = (now - timedelta(seconds=2), now)
    # Nobody registered version 3, so it is counted on the default grid.
    grid = GRID.grid if piece.version != "3" else DEFAULT_GRID
    return Partial(MODEL, piece.version, piece.segment, window, 10, grid, batch_id, piece.kind, *times, tally)


def _tally(n: int, shift: int, turn: int = 0) -> Tally:
    # Evenly spread whatever n is: 37 and 128 have no common divisor, and each turn begins elsewhere.
    places = [(turn * 61 + i * 37) % 128 for i in range(n)]
    cells = Counter(MISSING if place % 20 == 3 else _FIRST_CELL + shift + place for place in places)
    # Near the center a cell is 16 units of q wide.
    q = [16 * (cell - _CENTER_CELL) + 8 for cell in cells.elements() if cell >= 0]
    names = Counter("__other__" if place % 10 == 1 else "b" if place % 3 == 0 else "a" for place in places)
    return Tally(
        Counter(events=n, errors=n // 30, input_tokens=11 * n),
        {"x": cells, "latency_ms": Counter({520: n})},
        {"x": (sum(q), sum(v * v for v in q)), "latency_ms": (136 * n, 136 * 136 * n)},
        {"output": names},
    )
