"""Verifying the stream's tables: every law, slice of time by slice of time. Edge: reads tables, writes none.

What is verified is what was committed when it began: micro-batches above the last row of ``batches`` are left out, so
it may run beside the stream. A slice is a span of event time with about :data:`SLICE_EVENTS` predictions. A copy has
the time of its original, and a label that of its prediction, so each slice can be judged by itself.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.schemas.tables import TABLES
from pegel.streaming.verify.batch_laws import EVENT_TABLES, BatchLaws, RowCounts, counts_by
from pegel.streaming.verify.label_recount import LABEL_COLUMNS, LABELS, label_changes
from pegel.streaming.verify.labels import Key
from pegel.streaming.verify.laws import Law
from pegel.streaming.verify.merged import (
    MergedLaws,
    merged_ones,
    merged_seconds,
    parted,
    single_ones,
    split_at,
)
from pegel.streaming.verify.partials import PartialLaws
from pegel.streaming.verify.row_counter import RowCounter, by_kind, prediction_rows
from pegel.streaming.verify.segments import Admission, admitted_in
from pegel.tables.delta import DeltaTables, Row
from pegel.tables.merging import merged_up_to

SLICE_EVENTS = 100_000
_ALWAYS = (-(2**62), 2**62)

Erased = Mapping[str, Counter[int]]
"""Table -> batch_id -> rows that were erased; dead letters of the feedback hub as ``feedback_dead_letters``."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification found.

    Attributes:
        laws: each with its differences.
        events: rows of ``predictions``, ``feedback`` and ``dead_letters`` that were read.
        seconds: how long it took.
        up_to: the highest ``batch_id``; -1 if there is none.
    """

    laws: Sequence[Law]
    events: int
    seconds: float
    up_to: int

    @property
    def holds(self) -> bool:
        """Whether every law does."""
        return not any(law.broken for law in self.laws)


class Verification:
    """Verifies the tables of one stream.

    Args:
        tables: the tables below ``storage.root``.
        settings: those that the stream ran with.
        erased: the rows that may be missing.
        slice_events: how many predictions are held at a time.
    """

    def __init__(
        self, tables: DeltaTables, settings: Settings, erased: Erased, slice_events: int = SLICE_EVENTS
    ) -> None:
        self._tables = tables
        self._ingest = settings.ingest
        self._feedback_hub = settings.source.feedback_hub
        self._erased = erased
        self._slice_events = slice_events
        self._merged_up_to = merged_up_to(tables)
        predictions = erased.get("predictions", Counter())
        old, new = split_at(predictions + erased.get("feedback", Counter()), self._merged_up_to)
        old_predictions, new_predictions = split_at(predictions, self._merged_up_to)
        self._partials = PartialLaws(new, new_predictions)
        self._seconds = merged_seconds(self._ingest.window_seconds)
        self._merged = MergedLaws(self._seconds, old, old_predictions, self._partials.totals)
        self._copies = Law("event ids", "no two predictions have one id and time, nor two pieces of feedback")
        self._joined = Law("joined labels", "matched, unmatched and joined later are what the rows of feedback give")

    def run(self) -> Report:
        """Verify everything.

        Raises:
            OutsideError: if a table cannot be read, or partials have been added up meanwhile.
        """
        started = time.perf_counter()
        highest = [row["n"] for row in self._rows("batches", "SELECT max(batch_id) AS n FROM t")]
        up_to = max((n for n in highest if n is not None), default=-1)
        upto = f"batch_id <= {up_to}"
        counts = self._row_counts()
        laws = BatchLaws(counts)
        labels = {name: Counter[int]() for name in ("matched", "unmatched", "joined_later")}
        counter = RowCounter(self._tables, self._ingest, self._known(upto))
        for first, last in self._slices(upto):
            self._check_slice(first, last, upto, counter, labels)
        for row in self._rows("batches", f"SELECT * FROM t WHERE {upto} ORDER BY batch_id"):
            laws.check(row)
            self._check_joined(row, labels)
        laws.finish(up_to)
        self._partials.finish()
        self._merged.finish()
        if merged_up_to(self._tables) != self._merged_up_to:
            msg = "old partials were added up while they were verified, so nothing can be said of them; verify again"
            raise OutsideError(msg)
        events = sum(sum(of_table.values()) for of_table in counts.stored.values())
        found = (*laws.laws, self._copies, *self._partials.laws, self._merged.minutes, self._joined)
        return Report(found, events, time.perf_counter() - started, up_to)

    def _row_counts(self) -> RowCounts:
        stored: dict[str, Counter[int]] = {}
        places: dict[tuple[int, str, str], tuple[int, int, int, int]] = {}
        for name in EVENT_TABLES:
            asked = (
                'SELECT batch_id, hub, "partition", count(*) AS n, count(DISTINCT "offset") AS d, '
                'min("offset") AS a, max("offset") AS b FROM t GROUP BY 1, 2, 3'
            )
            rows = list(self._rows(name, asked))
            stored |= counts_by(name, rows, self._feedback_hub)
            for row in rows:
                key = row["batch_id"], row["hub"], row["partition"]
                n, different, low, high = places.get(key, (0, 0, row["a"], row["b"]))
                ends = min(low, row["a"]), max(high, row["b"])
                places[key] = n + row["n"], different + row["d"], *ends
        return RowCounts(stored, self._erased, places, self._gaps())

    def _gaps(self) -> dict[tuple[int, str, str], list[tuple[int, int]]]:
        gaps: dict[tuple[int, str, str], list[tuple[int, int]]] = defaultdict(list)
        # Tables that an older version wrote have none.
        if self._tables.version("gaps") >= 0:
            for row in self._rows("gaps", "SELECT * FROM t ORDER BY batch_id, first_offset"):
                gaps[row["batch_id"], row["hub"], row["partition"]].append((row["first_offset"], row["last_offset"]))
        return gaps

    def _known(self, upto: str) -> dict[str, frozenset[str]]:
        attributes = self._ingest.segment_attributes
        if self._erased.get("predictions"):
            found = self._rows("profiles", f"SELECT DISTINCT segment FROM t WHERE {upto}")
            return admitted_in((row["segment"] for row in found), attributes)
        admission = Admission(attributes, self._ingest.segment_cap)
        if attributes:
            for piece in self._pieces("predictions", ["batch_id", "segments"], upto):
                admission.take(piece)
        return admission.known

    def _slices(self, upto: str) -> Iterator[tuple[int, int]]:
        """Spans of event time, half open, in microseconds since 1970, cut between minutes; together all of time."""
        micros_of_window = self._seconds * 1_000_000
        asked = f"arrow_cast(event_time, 'Int64') / {micros_of_window} AS w, count(*) AS n"
        windows = self._rows("predictions", f"SELECT {asked} FROM t WHERE {upto} GROUP BY 1 ORDER BY 1")
        first, held = _ALWAYS[0], 0
        for row in windows:
            if held and held + row["n"] > self._slice_events:
                yield first, row["w"] * micros_of_window
                first, held = row["w"] * micros_of_window, 0
            held += row["n"]
        yield first, _ALWAYS[1]

    def _check_slice(
        self,
        first: int,
        last: int,
        upto: str,
        counter: RowCounter,
        labels: Mapping[str, Counter[int]],
    ) -> None:
        rows = prediction_rows(self._tables, f"{upto} AND {_within('event_time', first, last)}")
        within = _within("window_start", first, last)
        partials = list(self._rows("profiles", f"SELECT * FROM t WHERE {upto} AND {within}"))
        stored, sums = parted(partials, self._merged_up_to)
        for kind, part in by_kind(rows):
            found = counter.count(kind, part, stored)
            for grid in sorted(found.grids):
                self._partials.live.compare("grids", None, grid, True, counter.knows(grid))
            counted, enqueued, up_to = found.counted, found.enqueued, self._merged_up_to
            self._partials.check_events(kind, stored, single_ones(counted, up_to), single_ones(enqueued, up_to))
            self._merged.check_events(kind, sums, merged_ones(counted, up_to), merged_ones(enqueued, up_to))
        asked = f"SELECT feedback_id, feedback_time FROM t WHERE {upto} AND {_within('feedback_time', first, last)}"
        ids, times = (rows[column].to_pylist() for column in ("event_id", "event_time"))
        self._check_copies("predictions", zip(ids, times, strict=True))
        again = self._rows("feedback", asked)
        self._check_copies("feedback", ((row["feedback_id"], row["feedback_time"]) for row in again))
        self._check_labels(rows, partials, counter.known, (first, last, upto), labels)

    def _check_copies(self, table: str, keys: Iterable[Key]) -> None:
        seen = Counter(keys)
        self._copies.hold(len(seen))
        for (name, when), n in seen.items():
            if n > 1:
                self._copies.compare(table, None, f"{name} at {when.isoformat()}", 1, n)

    def _check_labels(
        self,
        rows: pa.Table,
        stored: Sequence[Row],
        known: Mapping[str, frozenset[str]],
        where: tuple[int, int, str],
        labels: Mapping[str, Counter[int]],
    ) -> None:
        first, last, upto = where
        condition = f"{upto} AND {LABELS} AND {_within('prediction_time', first, last)}"
        found = list(self._rows("feedback", f"SELECT {LABEL_COLUMNS} FROM t WHERE {condition}"))
        counts, changed = label_changes(rows, found, known, self._ingest.window_seconds)
        labels["matched"].update(counts.matched)
        labels["joined_later"].update(counts.joined_later)
        labels["unmatched"].update(counts.unmatched)
        single, sums = parted(stored, self._merged_up_to)
        old = {place: change for place, change in changed.items() if place[0] <= self._merged_up_to}
        new = {place: change for place, change in changed.items() if any(change) and place not in old}
        self._partials.check_labels(single, new)
        self._merged.check_labels(sums, old)

    def _check_joined(self, row: Row, labels: Mapping[str, Counter[int]]) -> None:
        batch_id = row["batch_id"]
        room = sum(self._erased.get(name, Counter())[batch_id] for name in ("predictions", "feedback"))
        for name, counted in labels.items():
            found = row[name] or 0
            wanted = min(max(found, counted[batch_id]), counted[batch_id] + room)
            self._joined.compare("batches", batch_id, name, wanted, found)

    def _pieces(self, name: str, columns: Sequence[str], where: str) -> Iterator[pa.Table]:
        quoted = ", ".join(f'"{column}"' for column in columns)
        schema = _schema(name, columns)
        for piece in self._tables.scan(name, f"SELECT {quoted} FROM t WHERE {where}"):
            yield piece.cast(schema)

    def _rows(self, name: str, sql: str) -> Iterator[Row]:
        for piece in self._tables.scan(name, sql):
            yield from piece.to_pylist(maps_as_pydicts="strict")


def _schema(name: str, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([TABLES[name].arrow_schema.field(column) for column in columns])


def _within(column: str, first: int, last: int) -> str:
    parts = []
    if first != _ALWAYS[0]:
        parts.append(f"{column} >= {_literal(first)}")
    if last != _ALWAYS[1]:
        parts.append(f"{column} < {_literal(last)}")
    return " AND ".join(parts) or "true"


def _literal(when: int) -> str:
    return f"arrow_cast({when}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
