"""The past of a stream as its rows of ``predictions`` give it, and not as its partials say. Edge.

A watcher that is restored from it and takes in its micro-batches decides on what was recounted from rows. What stands
in ``profiles`` and ``blocks`` is compared with the recount, to the unit. Used as they are stored are windows that are
not of the evidence, and what labels changed: that is compared with rows of ``feedback`` and then known to be the same.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.conf.settings import IngestSettings
from pegel.schemas.partials import FEEDBACK_KIND, LIVE, Partial, Tally, partial_from_row
from pegel.streaming.verify.label_recount import LABEL_COLUMNS, LABELS, label_changes
from pegel.streaming.verify.laws import Law
from pegel.streaming.verify.merged import single_ones
from pegel.streaming.verify.partials import PartialLaws
from pegel.streaming.verify.recount import Counted
from pegel.streaming.verify.row_counter import RowCounter, by_kind, prediction_rows
from pegel.streaming.verify.segments import admitted_in
from pegel.streaming.watch.block_counts import block_of, counts_in, counts_of, with_counts
from pegel.streaming.watch.blocks import Key, Window
from pegel.streaming.watch.history import History
from pegel.streaming.watch.reference import Comparison
from pegel.streaming.watch.references import BaselineCatalog
from pegel.streaming.watch.state import micros
from pegel.streaming.watch.watcher import needed_since
from pegel.streaming.watch.windows import ranges
from pegel.tables.delta import DeltaTables, Row

_SLICE_EVENTS = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a decision rests on, as its row of ``alerts`` says.

    Attributes:
        key: model, version and segment.
        first_batch_id: first micro-batch of the evidence.
        decided_in: the micro-batch in which it was made.
        windows: base windows of the evidence.
    """

    key: Key
    first_batch_id: int
    decided_in: int
    windows: tuple[Window, ...]


class RecountedHistory(History):
    """The past of one decision.

    Args:
        tables: the stream's.
        ingest: those that the stream ran with.
        erased: table -> micro-batch -> rows that were erased.
        lineage: of the decision.
        is_kept: whether rows that were committed then are promised to be there.

    Attributes:
        gone: how many rows of its micro-batches are not there any more, and need not be.
        rows: how many were recounted.
    """

    def __init__(
        self,
        tables: DeltaTables,
        ingest: IngestSettings,
        erased: Mapping[str, Counter[int]],
        lineage: Lineage,
        is_kept: Callable[[datetime], bool] = lambda _: True,
    ) -> None:
        super().__init__(tables)
        self._tables = tables
        self._lineage = lineage
        self._window_s = ingest.window_seconds
        self._merged_up_to = self.merged_up_to()
        self._blocks = super().blocks(lineage.decided_in)
        segments = tables.read("profiles", "SELECT DISTINCT segment FROM t")
        known = admitted_in((row["segment"] for row in segments), ingest.segment_attributes)
        self._counter = RowCounter(tables, ingest, known)
        reference = BaselineCatalog(tables)(*lineage.key[:2])
        self._comparison = None if reference is None else Comparison(reference)
        self._rows_law = Law("rows", "predictions holds what batches says was stored, but for what was erased")
        self._blocks_law = Law("blocks", "each block of the evidence holds what its rows give, to the unit")
        self.rows = self.gone = 0
        self._erased, self._is_kept = erased.get("predictions", Counter[int]()), is_kept
        # Micro-batch -> rows of it that are there, and rows that are known not to be.
        self._held: dict[int, int] = {}
        self._fewer = Counter(self._erased)
        self._fewer_labels = self._fewer + erased.get("feedback", Counter[int]())
        self._partial_laws = PartialLaws(self._fewer_labels, self._fewer)
        since = min(lineage.first_batch_id, needed_since(self._blocks, lineage.decided_in))
        self._account(since, lineage.decided_in)
        self._by_batch: dict[int, list[Partial]] = defaultdict(list)
        for partial in self._recounted_batches(since, lineage.decided_in):
            self._by_batch[partial.batch_id].append(partial)
        if lineage.windows:
            self._check_labels()

    @property
    def erased(self) -> int:
        """How many rows were erased from the micro-batches that have a part in it."""
        return sum(self._erased[batch_id] for batch_id in self._held)

    @property
    def laws(self) -> tuple[Law, ...]:
        """What was compared with the recount."""
        return self._rows_law, self._partial_laws.live, self._partial_laws.labels, self._blocks_law

    def partials_of(self, first: int, last: int) -> list[Partial]:
        """The partials of these micro-batches from rows; of labels, as they are stored."""
        return [partial for batch_id in sorted(self._by_batch) if first <= batch_id <= last
                for partial in self._by_batch[batch_id]]  # fmt: skip

    def partials(self, start: datetime, end: datetime, before: int) -> list[Partial]:
        """The stored partials of these windows; those of the evidence are recounted."""
        stored = super().partials(start, end, before)
        wanted = {window for window in self._lineage.windows if start <= window[0] < end}
        if not wanted:
            return stored
        spans = ranges(wanted)
        rest = [p for p in stored if self._is_of_labels(p) or not any(_overlap(p, span) for span in spans)]
        within = " OR ".join(_between("event_time", *span) for span in spans)
        asked = f"({within.replace('event_time', 'window_start')}) AND batch_id < {int(before)}"
        rows = self._tables.read("profiles", f"SELECT * FROM t WHERE {asked}")
        self._account_also(rows)
        return rest + list(self._recounted(f"({within}) AND batch_id < {int(before)}", rows))

    def blocks(self, before: int) -> list[Row]:
        """The last 64 rows of each key; those of the evidence with the counts that their rows give."""
        return [self._with_recount(row) for row in self._blocks if row["batch_id"] < before]

    def check_block(self, row: Row) -> None:
        """Compare a block that was decided from this history with what stands in the table."""
        asked = f"SELECT * FROM t WHERE batch_id = {int(row['batch_id'])} AND block_no = {int(row['block_no'])}"
        key = row["model"], row["version"], row["segment"]
        for stored in self._tables.read("blocks", asked):
            if (stored["model"], stored["version"], stored["segment"]) == key:
                self._compare_block(stored, counts_in(row))

    def _is_of_labels(self, partial: Partial) -> bool:
        return partial.kind == FEEDBACK_KIND and partial.batch_id > self._merged_up_to

    def _with_recount(self, row: Row) -> Row:
        if (row["model"], row["version"], row["segment"]) != self._lineage.key:
            return row
        if row["first_batch_id"] < self._lineage.first_batch_id:
            return row
        judged = self._comparison if row["baseline_id"] else None
        block = block_of(row, self.partials_of(row["first_batch_id"], row["last_batch_id"]), judged)
        self._compare_block(row, {} if block is None else counts_of(block))
        return row if block is None else with_counts(row, block)

    def _compare_block(self, row: Row, counted: Mapping[str, object]) -> None:
        found = counts_in(row)
        if any(row["first_batch_id"] <= batch_id <= row["last_batch_id"] for batch_id in +self._fewer):
            return
        for name in sorted(found.keys() | counted.keys()):
            key = f"{row['model']}/{row['version']} {row['segment']} block {row['block_no']} {name}"
            self._blocks_law.compare("blocks", row["batch_id"], key, counted.get(name), found.get(name))

    def _account(self, first: int, last: int, only: Set[int] | None = None) -> None:
        """Take note of how many rows of these micro-batches are there, and whether all are that must be."""
        within = _batches(first, last)
        asked = f"SELECT batch_id, count(*) AS n FROM t WHERE {within} GROUP BY batch_id"
        there = {row["batch_id"]: row["n"] for row in self._tables.read("predictions", asked)}
        asked = f"SELECT batch_id, stored, committed_at FROM t WHERE {within}"
        for row in self._tables.read("batches", asked):
            batch_id, at = row["batch_id"], row["committed_at"]
            if batch_id in self._held or (only is not None and batch_id not in only):
                continue
            found = self._held[batch_id] = there.get(batch_id, 0)
            expected = row["stored"] - self._erased[batch_id]
            if found < expected and at is not None and not self._is_kept(at):
                self.gone += expected - found
                self._fewer[batch_id] += expected - found
                self._fewer_labels[batch_id] += expected - found
            else:
                self._rows_law.compare("predictions", batch_id, "rows", expected, found)

    def _account_also(self, partials: Sequence[Row]) -> None:
        others = {row["batch_id"] for row in partials if row["batch_id"] > self._merged_up_to} - self._held.keys()
        if others:
            self._account(min(others), max(others), others)

    def _check_labels(self) -> None:
        """Compare what labels changed in the windows of the evidence with their rows."""
        spans = ranges(self._lineage.windows)
        until = f"batch_id <= {int(self._lineage.decided_in)}"

        def within(column: str) -> str:
            return f"({' OR '.join(_between(column, *span) for span in spans)}) AND {until}"

        asked = f"SELECT {LABEL_COLUMNS} FROM t WHERE {LABELS} AND {within('prediction_time')}"
        labels = self._tables.read("feedback", asked)
        partials = self._tables.read("profiles", f"SELECT * FROM t WHERE {within('window_start')}")
        self._account_also(partials)
        stored = [p for p in partials if p["kind"] == FEEDBACK_KIND and p["batch_id"] > self._merged_up_to]
        if labels or stored:
            rows = prediction_rows(self._tables, within("event_time"))
            _, changed = label_changes(rows, labels, self._counter.known, self._window_s)
            single = {at: one for at, one in changed.items() if any(one) and at[0] > self._merged_up_to}
            self._partial_laws.check_labels(stored, single)

    def _recounted_batches(self, first: int, last: int) -> Iterator[Partial]:
        for low, high in self._slices(first, last):
            within = _batches(low, high)
            stored = self._tables.read("profiles", f"SELECT * FROM t WHERE {within}")
            yield from self._recounted(within, stored)
            yield from filter(self._is_of_labels, map(partial_from_row, stored))

    def _slices(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Spans of micro-batches, both ends inclusive, with about so many rows as may be held at a time."""
        held = 0
        for batch_id, n in sorted(self._held.items()):
            if held and held + n > _SLICE_EVENTS:
                yield first, batch_id - 1
                first, held = batch_id, 0
            held += n
        yield first, last

    def _recounted(self, where: str, stored: Sequence[Row]) -> Iterator[Partial]:
        rows = prediction_rows(self._tables, where)
        self.rows += len(rows)
        single = [row for row in stored if row["batch_id"] > self._merged_up_to]
        for kind, part in by_kind(rows):
            found = self._counter.count(kind, part, single)
            counted = single_ones(found.counted, self._merged_up_to)
            enqueued = single_ones(found.enqueued, self._merged_up_to)
            self._partial_laws.check_events(kind, single, counted, enqueued)
            for (place, grid), counts in found.counted.items():
                batch_id, model, version, segment, start = place
                first, last = map(_time, found.enqueued[place, grid]) if kind == LIVE else (None, None)
                key = model, version, segment, _time(start), self._window_s, grid
                yield Partial(*key, batch_id, kind, first, last, _tally(counts))


def _tally(counts: Counted) -> Tally:
    tally = Tally()
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for what, n in counts.items():
        match what:
            case "counts", name:
                tally.counts[name] = n
            case "cells", column, cell:
                tally.cells.setdefault(column, Counter())[int(cell)] = n
            case "names", column, name:
                tally.categories.setdefault(column, Counter())[name] = n
            case ("sum_q" | "sum_q2") as of, column:
                sums[column][of == "sum_q2"] = n
    tally.sums = {column: (q, q2) for column, (q, q2) in sums.items()}
    return tally


def _overlap(partial: Partial, span: tuple[datetime, datetime]) -> bool:
    return partial.window_start < span[1] and partial.window_start + timedelta(seconds=partial.window_s) > span[0]


def _between(column: str, start: datetime, end: datetime) -> str:
    low, high = (f"arrow_cast({micros(at)}, 'Timestamp(Microsecond, Some(\"UTC\"))')" for at in (start, end))
    return f"({column} >= {low} AND {column} < {high})"


def _batches(first: int, last: int) -> str:
    return f"batch_id >= {int(first)} AND batch_id <= {int(last)}"


def _time(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)
