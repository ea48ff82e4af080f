"""What ingest must have stored, once more from the raw events: plain Python, one event after the other.

Given are the events as the hubs hold them and, from ``batches``, which offsets each micro-batch read. Nothing of
ingest's code is used: only the contracts in ``schemas``, and :mod:`equipment.judged_events` for what one event is.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from equipment.judged_events import Judged, LoggedEvent, judge

from pegel.conf.settings import Settings
from pegel.schemas import grids
from pegel.schemas.grids import Grid, GridColumn, cell_of, default_grid
from pegel.schemas.partials import Tally, tally_to_row

Row = dict[str, Any]
EventKey = tuple[str, datetime]
"""(id, time)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(slots=True)
class ExpectedBatch:
    """The rows that one micro-batch must have added, and its row of ``batches`` without clock and version.

    ``profiles`` has the counting columns as :func:`pegel.schemas.partials.tally_to_row` writes them.
    """

    batch_id: int
    predictions: list[Row] = field(default_factory=list)
    feedback: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    profiles: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    offsets: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class _Prediction:
    row: Row
    segments: list[str]
    label: tuple[datetime, str, str] | None = None


class Recomputation:
    """Goes through micro-batches in order and remembers what each left behind.

    Args:
        events: all that the hubs hold; those that no micro-batch has read yet do no harm.
        settings: hubs, windows, segments.
        grids_of: the grid of each registered version; all others are counted on the default grid.
    """

    def __init__(
        self, events: Iterable[LoggedEvent], settings: Settings, grids_of: Mapping[tuple[str, str], Grid] | None = None
    ) -> None:
        self._events: dict[tuple[str, str], dict[int, LoggedEvent]] = defaultdict(dict)
        for event in events:
            self._events[event.hub, event.partition][event.offset] = event
        self._settings = settings
        self._grids = dict(grids_of or {})
        self._predictions: dict[EventKey, _Prediction] = {}
        self._feedback: set[EventKey] = set()
        self._early: dict[EventKey, list[tuple[datetime, str, str]]] = defaultdict(list)
        self._admitted: dict[str, set[str]] = {name: set() for name in settings.ingest.segment_attributes}

    def register(self, model: str, version: str, grid: Grid) -> None:
        """Count a version on this grid from the next micro-batch on."""
        self._grids[model, version] = grid

    def batch(self, batch_id: int, offsets: Sequence[Mapping[str, Any]]) -> ExpectedBatch:
        """Take in the next micro-batch.

        Args:
            batch_id: its id.
            offsets: as in ``batches``; only ``hub``, ``partition``, ``first`` and ``last`` are read.
        """
        events = [event for one in offsets for event in self._range(one)]
        expected = ExpectedBatch(batch_id, offsets=_offsets(events))
        # What is first in the hub stays, so the order of hub, partition and offset decides between copies.
        judged = [self._judge(event) for event in sorted(events, key=lambda event: event.place)]
        new = {False: list[Row](), True: list[Row]()}
        for one in judged:
            self._sort(one, new[one.is_feedback], expected)
        self._admit(new[False])
        changed = self._add(new[False], new[True], expected.counts)
        expected.predictions, expected.feedback = new[False], new[True]
        expected.profiles = [*self._live(new[False], batch_id), *self._labelled(changed, batch_id)]
        expected.counts["in_partials"] = len(new[False])
        return expected

    def _range(self, one: Mapping[str, Any]) -> list[LoggedEvent]:
        log = self._events[one["hub"], one["partition"]]
        # A number that no event has is left out, and so not in the count that is compared with that of batches.
        return [log[offset] for offset in range(one["first"], one["last"] + 1) if offset in log]

    def _judge(self, event: LoggedEvent) -> Judged:
        is_feedback = event.hub.removesuffix(":backfill") == self._settings.source.feedback_hub
        tolerance = self._settings.ingest.future_tolerance_seconds
        return judge(event, is_feedback=is_feedback, future_tolerance_seconds=tolerance)

    def _sort(self, one: Judged, new: list[Row], expected: ExpectedBatch) -> None:
        """Into the new ones, the dead letters or the duplicates."""
        prefix = "feedback_" if one.is_feedback else ""
        place = dict(zip(("hub", "partition", "offset"), one.event.place, strict=True))
        base = {**place, "enqueued_time": one.event.enqueued, "batch_id": expected.batch_id}
        expected.counts[f"{prefix}received"] += 1
        if one.reason is not None:
            expected.counts[f"{prefix}dead_letters"] += 1
            expected.dead_letters.append(base | one.dead_letter)
            return
        key = _key(one.values, is_feedback=one.is_feedback)
        if key in (self._feedback if one.is_feedback else self._predictions):
            expected.counts[f"{prefix}duplicates"] += 1
            return
        expected.counts[f"{prefix}stored"] += 1
        new.append(one.values | base)
        if one.is_feedback:
            self._feedback.add(key)
        else:
            self._predictions[key] = _Prediction(new[-1], [])

    def _admit(self, predictions: Sequence[Row]) -> None:
        for attribute, known in self._admitted.items():
            values = {(row["segments"] or {}).get(attribute) for row in predictions}
            named = sorted(v for v in values if v is not None and len(v) <= 128 and v != grids.OTHER_NAME)
            for name in named:
                if len(known) < self._settings.ingest.segment_cap:
                    known.add(name)
        for row in predictions:
            self._predictions[_key(row, is_feedback=False)].segments = self._segments(row)

    def _segments(self, row: Row) -> list[str]:
        found = ["*"]
        for attribute, known in self._admitted.items():
            value = (row["segments"] or {}).get(attribute)
            if value is not None:
                found.append(f"{attribute}={value if value in known else grids.OTHER_NAME}")
        return found

    def _add(
        self, predictions: Sequence[Row], feedback: Sequence[Row], counts: Counter[str]
    ) -> list[tuple[_Prediction, int, int]]:
        """Join labels: each prediction with what its ``labelled`` and ``correct`` change by."""
        before: dict[tuple[str, datetime], Any] = {}
        for row in feedback:
            if row["kind"] != "label" or row["label"] is None:
                continue
            label = (row["feedback_time"], row["feedback_id"], row["label"])
            key = row["event_id"], row["prediction_time"]
            prediction = self._predictions.get(key)
            if prediction is None:
                counts["unmatched"] += 1
                self._early[key].append(label)
            else:
                counts["matched"] += 1
                before.setdefault(key, prediction.label)
                prediction.label = _later(prediction.label, label)
        for row in predictions:
            key = _key(row, is_feedback=False)
            for label in self._early.pop(key, ()):
                counts["matched"] += 1
                counts["joined_later"] += 1
                before.setdefault(key, None)
                self._predictions[key].label = _later(self._predictions[key].label, label)
        changed = []
        for key, old in before.items():
            found = self._predictions[key]
            changed.append((found, int(old is None), _is_right(found, found.label) - _is_right(found, old)))
        return changed

    def _grid(self, row: Row) -> Grid:
        return self._grids.get((row["model"], row["version"])) or default_grid(row["model"])

    def _window(self, row: Row) -> datetime:
        event_time: datetime = row["event_time"]
        length = timedelta(seconds=self._settings.ingest.window_seconds)
        return _EPOCH + (event_time - _EPOCH) // length * length

    def _live(self, predictions: Sequence[Row], batch_id: int) -> list[Row]:
        groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in predictions:
            kind = "backfill" if _from_files(row["hub"]) else "live"
            for segment in self._predictions[_key(row, is_feedback=False)].segments:
                groups[kind, row["model"], row["version"], segment, self._window(row)].append(row)
        partials = []
        for (kind, *where), rows in groups.items():
            grid = self._grid(rows[0])
            times = [row["enqueued_time"] for row in rows]
            span = (min(times), max(times)) if kind == "live" else (None, None)
            tally = tally_of(rows, grid, self._settings.ingest.max_category_names)
            partials.append(self._partial(tuple(where), grid, batch_id, kind, tally, span))
        return partials

    def _labelled(self, changed: Iterable[tuple[_Prediction, int, int]], batch_id: int) -> list[Row]:
        groups: dict[tuple[Any, ...], Tally] = defaultdict(Tally)
        for prediction, labelled, correct in changed:
            row = prediction.row
            for segment in prediction.segments:
                tally = groups[row["model"], row["version"], segment, self._window(row)]
                tally.counts.update(labelled=labelled, correct=correct)
        nowhen = (None, None)
        return [
            self._partial(key, self._grid({"model": key[0], "version": key[1]}), batch_id, "feedback", tally, nowhen)
            for key, tally in groups.items()
            if any(tally.counts.values())
        ]

    def _partial(
        self, key: tuple[Any, ...], grid: Grid, batch_id: int, kind: str, tally: Tally, span: tuple[Any, Any]
    ) -> Row:
        model, version, segment, window_start = key
        return {
            "model": model,
            "version": version,
            "segment": segment,
            "window_start": window_start,
            "window_s": self._settings.ingest.window_seconds,
            "grid": grid.grid,
            "batch_id": batch_id,
            "kind": kind,
            "first_enqueued": span[0],
            "last_enqueued": span[1],
            **tally_to_row(tally),
        }


def tally_of(rows: Sequence[Row], grid: Grid, max_names: int) -> Tally:
    """Count stored predictions on a grid, one by one."""
    tally = Tally()
    for row in rows:
        tally.counts["events"] += 1
        tally.counts["errors"] += row["error_type"] is not None
        tally.counts["input_tokens"] += row["input_tokens"] or 0
        tally.counts["output_tokens"] += row["output_tokens"] or 0
    for column in grid.columns:
        values = [value_of(row, column) for row in rows]
        if column.kind == grids.NUMERIC:
            _count_numbers(tally, column, values)
        else:
            tally.categories[column.name] = _count_names(column, values, max_names)
    return tally


def value_of(row: Row, column: GridColumn) -> Any:
    """The value of a watched column."""
    if column.source.startswith("features."):
        text = (row["features"] or {}).get(column.source.removeprefix("features."))
        return _number(text) if column.kind == grids.NUMERIC else text
    match column.source:
        case "input_length":
            return None if row["input"] is None else len(row["input"])
        case "input_words":
            return None if row["input"] is None else len(row["input"].split())
        case "confidence":
            return max((row["probabilities"] or {}).values(), default=None)
        case "latency_ms" | "input_tokens" | "output_tokens" | "output":
            return row[column.source]
    raise AssertionError(f"the recomputation does not know the source {column.source}")


def _count_numbers(tally: Tally, column: GridColumn, values: Sequence[float | None]) -> None:
    cells: Counter[int] = Counter()
    q_sum = q2_sum = 0
    for value in values:
        cell = cell_of(value, column.center, column.scale)
        cells[cell] += 1
        if value is not None and cell >= 0:
            q = math.floor(grids.Q_SCALE * (value - column.center) / column.scale + 0.5)
            q_sum, q2_sum = q_sum + q, q2_sum + q * q
    tally.cells[column.name], tally.sums[column.name] = cells, (q_sum, q2_sum)


def _count_names(column: GridColumn, values: Sequence[str | None], max_names: int) -> Counter[str]:
    special = (grids.MISSING_NAME, grids.OTHER_NAME)
    counted: Counter[str] = Counter()
    for value in values:
        if value is None:
            counted[grids.MISSING_NAME] += 1
        elif column.categories:
            counted[value if value in (*column.categories, grids.MISSING_NAME) else grids.OTHER_NAME] += 1
        else:
            counted[value if len(value) <= 128 else grids.OTHER_NAME] += 1
    if not column.categories:
        ranked = sorted((name for name in counted if name not in special), key=lambda name: (-counted[name], name))
        for name in ranked[max_names:]:
            counted[grids.OTHER_NAME] += counted.pop(name)
    return counted


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _key(row: Row, *, is_feedback: bool) -> EventKey:
    return (row["feedback_id"], row["feedback_time"]) if is_feedback else (row["event_id"], row["event_time"])


def _later(one: tuple[datetime, str, str] | None, other: tuple[datetime, str, str]) -> tuple[datetime, str, str]:
    return other if one is None else max(one, other)


def _is_right(prediction: _Prediction, label: tuple[datetime, str, str] | None) -> int:
    return int(label is not None and label[2] == prediction.row["output"])


def _from_files(hub: str) -> bool:
    return hub.endswith(":backfill")


def _offsets(events: Iterable[LoggedEvent]) -> list[Row]:
    groups: dict[tuple[str, str], list[LoggedEvent]] = defaultdict(list)
    for event in events:
        groups[event.hub, event.partition].append(event)
    return [
        {
            "hub": hub,
            "partition": partition,
            "first": min(event.offset for event in found),
            "last": max(event.offset for event in found),
            "count": len(found),
            "last_enqueued": None if _from_files(hub) else max(event.enqueued for event in found),
        }
        for (hub, partition), found in sorted(groups.items())
    ]
