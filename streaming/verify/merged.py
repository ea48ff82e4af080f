"""Partials that were added up to minutes, against the recount of all micro-batches that are in them. Pure.

Where rows were erased a minute still counts them: then it may hold more than the recount, and all minutes together
must hold just as many events more as were erased.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pegel.schemas.grids import DEFAULT_GRID
from pegel.schemas.partials import ALL, FEEDBACK_KIND, LABELLED, LIVE, MERGED_SECONDS
from pegel.streaming.verify.laws import Law
from pegel.streaming.verify.partials import flat, micros, name_of
from pegel.streaming.verify.recount import Counted, Place

Row = Mapping[str, Any]
Minute = tuple[str, str, str, int, str]
"""(model, version, segment, start of the minute in microseconds since 1970, grid)."""

T = TypeVar("T")
R = TypeVar("R", bound=Row)

_TABLE = "profiles"
_EVENTS = ("counts", "events")


def merged_seconds(window_seconds: int) -> int:
    """How long the windows are that windows of this length are added up to.

    Example:
        >>> merged_seconds(10), merged_seconds(7), merged_seconds(120)
        (60, 7, 120)
    """
    return window_seconds if MERGED_SECONDS % window_seconds else MERGED_SECONDS


def parted(stored: Sequence[R], merged_up_to: int) -> tuple[list[R], list[R]]:
    """Partials of single micro-batches, and sums of old ones."""
    single = [row for row in stored if row["batch_id"] > merged_up_to]
    return single, [row for row in stored if row["batch_id"] <= merged_up_to]


def split_at(counts: Counter[int], merged_up_to: int) -> tuple[int, Counter[int]]:
    """How many rows are of micro-batches whose partials were added up; those of each later one."""
    later = Counter({batch_id: n for batch_id, n in counts.items() if batch_id > merged_up_to})
    return counts.total() - later.total(), later


def single_ones(of: Mapping[tuple[Place, str], T], merged_up_to: int) -> dict[Place, T]:
    """What was counted of micro-batches whose partials stand one by one, by place; their grid is known."""
    return {place: one for (place, _), one in of.items() if place[0] > merged_up_to}


def merged_ones(of: Mapping[tuple[Place, str], T], merged_up_to: int) -> dict[tuple[Place, str], T]:
    """What was counted of those whose partials were added up, by place and grid."""
    return {place: one for place, one in of.items() if place[0][0] <= merged_up_to}


class GridsBefore:
    """On which grid a micro-batch counted, where only sums of many are left.

    A version's events are counted on the default grid until it has its own, which never changes; and each sum has the
    highest micro-batch that is in it. So a micro-batch counted on the first grid whose sums reach it.

    Args:
        highest: rows with ``kind, model, version, grid`` and ``n``: the highest micro-batch of any sum on that grid.

    Example:
        >>> key = {"kind": "live", "model": "m", "version": "1"}
        >>> grids = GridsBefore([key | {"grid": "own", "n": 9}, key | {"grid": "default", "n": 4}])
        >>> [grids.of("live", "m", "1", batch_id) for batch_id in (4, 5)]
        ['default', 'own']
    """

    def __init__(self, highest: Iterable[Row]) -> None:
        self._grids: dict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)
        for row in highest:
            self._grids[row["kind"], row["model"], row["version"]].append((row["n"], row["grid"]))
        for found in self._grids.values():
            found.sort()

    def of(self, kind: str, model: str, version: str, batch_id: int) -> str:
        """The grid's id; the default grid if no sum is of this or a later micro-batch."""
        found = self._grids.get((kind, model, version), [])
        place = bisect_left(found, (batch_id, ""))
        return found[place][1] if place < len(found) else DEFAULT_GRID


class MergedLaws:
    """Checks sums, slice of time by slice of time.

    Args:
        seconds: how long the windows of the sums are.
        erased: how many rows of ``predictions`` and ``feedback`` were erased from the micro-batches that are in them.
        erased_predictions: the same for ``predictions`` alone.
        totals: the law about rows that were erased.
    """

    def __init__(self, seconds: int, erased: int, erased_predictions: int, totals: Law) -> None:
        self._seconds = seconds
        self._erased = erased
        self._erased_predictions = erased_predictions
        self._totals = totals
        self._more_events = 0
        self._more_labelled = 0
        self.minutes = Law("minutes", "each sum of old partials counts what the rows of all its micro-batches give")

    def check_events(
        self,
        kind: str,
        stored: Iterable[Row],
        counted: Mapping[tuple[Place, str], Counted],
        enqueued: Mapping[tuple[Place, str], tuple[int, int]],
    ) -> None:
        """Compare all sums of one kind, ``live`` or ``backfill``, of a slice of time that are about predictions.

        Args:
            kind: which.
            stored: rows of ``profiles`` of this slice, of any kind.
            counted: what each micro-batch must have counted, with the grid.
            enqueued: the first and the last enqueued time of the same, in microseconds since 1970.
        """
        there = self._by_minute(row for row in stored if row["kind"] == kind)
        wanted, ends = self._added(counted), self._ends(enqueued)
        for minute in sorted(there.keys() | wanted.keys()):
            row = there.get(minute)
            found = {} if row is None else flat(row)
            counts = {what: n for what, n in wanted.get(minute, {}).items() if n}
            more = found.get(_EVENTS, 0) - counts.get(_EVENTS, 0)
            if more > 0 and self._erased_predictions:
                self._bound(minute, counts, found)
                self._more_events += more if minute[2] == ALL else 0
                continue
            self._equal(minute, counts, found)
            if row is not None:
                times = micros(row["first_enqueued"]), micros(row["last_enqueued"])
                self._compare(minute, ("enqueued",), ends.get(minute) if kind == LIVE else (None, None), times)

    def check_labels(self, stored: Iterable[Row], changed: Mapping[Place, tuple[int, int]]) -> None:
        """Compare all sums of a slice of time that are about labels; ``changed`` has labelled and correct."""
        there: dict[Minute, list[int]] = defaultdict(lambda: [0, 0])
        for minute, row in self._by_minute(row for row in stored if row["kind"] == FEEDBACK_KIND).items():
            found = there[(*minute[:4], "")]
            found[0] += row["counts"].get(LABELLED, 0)
            found[1] += row["counts"].get("correct", 0)
        wanted: dict[Minute, list[int]] = defaultdict(lambda: [0, 0])
        for place, change in changed.items():
            sums = wanted[self._minute(place, "")]
            sums[0] += change[0]
            sums[1] += change[1]
        for minute in sorted(there.keys() | wanted.keys()):
            found, counts = there[minute], wanted[minute]
            if not self._erased:
                self._compare(minute, ("labelled, correct",), tuple(counts), tuple(found))
            elif minute[2] == ALL:
                self._more_labelled += found[0] - counts[0]

    def finish(self) -> None:
        """Compare what is over in all sums together."""
        if self._erased_predictions:
            key = "events without rows, all minutes"
            self._totals.compare(_TABLE, None, key, self._erased_predictions, self._more_events)
        if self._erased:
            over, n = self._more_labelled, self._erased
            self._totals.compare(_TABLE, None, f"labels without rows, 0 to {n}", min(max(over, 0), n), over)

    def _added(self, counted: Mapping[tuple[Place, str], Counted]) -> dict[Minute, Counter[tuple[str, ...]]]:
        sums: dict[Minute, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for (place, grid), counts in counted.items():
            sums[self._minute(place, grid)].update(counts)
        return sums

    def _ends(self, enqueued: Mapping[tuple[Place, str], tuple[int, int]]) -> dict[Minute, tuple[int, int]]:
        ends: dict[Minute, tuple[int, int]] = {}
        for (place, grid), (first, last) in enqueued.items():
            minute = self._minute(place, grid)
            before = ends.get(minute, (first, last))
            ends[minute] = min(before[0], first), max(before[1], last)
        return ends

    def _minute(self, place: Place, grid: str) -> Minute:
        _, model, version, segment, start = place
        return model, version, segment, start - start % (self._seconds * 1_000_000), grid

    def _by_minute(self, rows: Iterable[Row]) -> dict[Minute, Row]:
        found: dict[Minute, Row] = {}
        for row in rows:
            start = micros(row["window_start"]) or 0
            minute = row["model"], row["version"], row["segment"], start, row["grid"]
            self._compare(minute, ("window_s",), self._seconds, row["window_s"])
            if minute in found:
                self._compare(minute, ("rows",), 1, 2)
            found[minute] = row
        return found

    def _equal(self, minute: Minute, wanted: Counted, found: Counted) -> None:
        same = {what for what, n in wanted.items() if found.get(what) == n}
        self.minutes.hold(len(same))
        for what in sorted((wanted.keys() | found.keys()) - same):
            self._compare(minute, what, wanted.get(what), found.get(what))

    def _bound(self, minute: Minute, wanted: Counted, found: Counted) -> None:
        for what, n in wanted.items():
            if what[0] in ("counts", "cells"):
                self._compare(minute, what, max(n, found.get(what, 0)), found.get(what, 0))

    def _compare(self, minute: Minute, what: tuple[str, ...], expected: Any, found: Any) -> None:
        model, version, segment, start, grid = minute
        key = name_of((-1, model, version, segment, start), (*what, *([f"on {grid}"] if grid else [])))
        self.minutes.compare(_TABLE, None, key, expected, found)
