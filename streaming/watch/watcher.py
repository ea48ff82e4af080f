"""The watch: partials of micro-batches in, verdicts on blocks and numbers about final windows out. Pure.

The same micro-batches give the same rows, whatever restarts lie between: a new watcher continues from the rows of
``blocks``, ``profiles`` and ``batches``, see :meth:`Watcher.restore`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pegel.conf.settings import WatchSettings
from pegel.errors import ContractError
from pegel.schemas.diagnosis import Symptoms
from pegel.schemas.metric_names import ACCURACY
from pegel.schemas.partials import Partial
from pegel.schemas.verdicts import BlockVerdict, Evidence, Verdict, WindowVerdict
from pegel.streaming.watch import judging, state
from pegel.streaming.watch.accuracy import AccuracyWatch, Judge
from pegel.streaming.watch.blocks import BlockStreams, Key
from pegel.streaming.watch.labelled import LoadLabelled
from pegel.streaming.watch.learning import Patience
from pegel.streaming.watch.metrics import metric_rows
from pegel.streaming.watch.reference import Comparison, References
from pegel.streaming.watch.symptoms import counted_in_partials, counted_in_windows, observe, time_before
from pegel.streaming.watch.watermark import PartitionClock, Watermark
from pegel.streaming.watch.windows import LoadPartials, Windows

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WatchOutput:
    """What one micro-batch brought to light.

    Attributes:
        blocks: the blocks that closed in it, in order of their keys.
        block_rows: the same as rows of ``blocks``.
        metric_rows: rows of ``metrics``.
        windows: the windows whose accuracy was judged in it, in order of key and start; their rows are among those.
    """

    blocks: list[BlockVerdict] = field(default_factory=list)
    block_rows: list[Row] = field(default_factory=list)
    metric_rows: list[Row] = field(default_factory=list)
    windows: list[WindowVerdict] = field(default_factory=list)


class Watcher:
    """Watches one stream.

    Args:
        settings: how blocks close and windows become final.
        references: asked once for each version and micro-batch until it answers.
        alerts_per_month: how many false alarms each model version may raise in 30 days, over all columns, rates and
            segments.
        shortest_block_seconds: no two micro-batches are closer, so no two blocks are.
        load: gives stored partials back, for windows that are not in memory. Without it a restart cannot continue
            windows.
        load_labelled: gives windows that wait for labels back. Without it a restart forgets which ones do.
    """

    _last: int
    _streams: BlockStreams
    _watermark: Watermark
    _windows: Windows

    def __init__(
        self,
        settings: WatchSettings,
        references: References,
        *,
        alerts_per_month: float = 1.0,
        shortest_block_seconds: float = 3.0,
        load: LoadPartials | None = None,
        load_labelled: LoadLabelled | None = None,
    ) -> None:
        self._settings = settings
        self._references = references
        self._run_length = judging.run_length(alerts_per_month, shortest_block_seconds)
        self._load = load
        self._accuracy = AccuracyWatch(settings, load_labelled)
        self._patience = Patience(settings.learn_blocks, timedelta(hours=settings.learn_hours))
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        self._without: set[tuple[str, str]] = set()
        self._clear()

    @property
    def last(self) -> int:
        """The newest micro-batch that was taken in; below all if there is none."""
        return self._last

    @property
    def waiting_for_labels(self) -> int:
        """How many windows, of all keys, wait for labels to be judged by."""
        return self._accuracy.waiting

    def advance(self, batch_id: int, partials: Sequence[Partial], partition_clock: PartitionClock) -> WatchOutput:
        """Take in one micro-batch.

        Args:
            batch_id: higher than any before.
            partials: all partials of it, of every kind.
            partition_clock: the highest enqueued time of each partition; those that were not read may be left out.

        Raises:
            ContractError: if the micro-batch is not newer than the last one.
        """
        if batch_id <= self._last:
            msg = f"micro-batch {batch_id} does not follow {self._last}; to repeat one, call restore first"
            raise ContractError(msg)
        self._last = batch_id
        self._without.clear()
        final_before = self._watermark.time
        self._watermark.advance(partition_clock)
        self._streams.feed(batch_id, partials)
        closed, verdicts = self._close_blocks(batch_id)
        revisions = self._windows.absorb(batch_id, partials, final_before)
        metrics: list[Row] = []
        for revision in revisions:
            metrics += metric_rows(revision, batch_id, self._comparison(*revision.window.key[:2]))
        rows = [
            state.block_row(verdict, one.block, one.stream, self._state(batch_id) if i == 0 else None)
            for i, (one, verdict) in enumerate(zip(closed, verdicts, strict=True))
        ]
        watermark = (final_before, self._watermark.time)
        judged = self._accuracy.advance(batch_id, partials, watermark, self._judge_of, self._never_judged)
        metrics += [one.row() for one in judged]
        return WatchOutput(verdicts, rows, metrics, [one.verdict for one in judged])

    def judge_windows(self, evidence: Evidence) -> tuple[Verdict, ...] | None:
        """Judge the windows of an unconfirmed incident by the same rule, once all of them are final.

        Args:
            evidence: what the incident rests on.

        Returns:
            a verdict for each of its columns and rates that can be judged; None while a window is not final.
        """
        ends = [start + timedelta(seconds=seconds) for start, seconds in evidence.windows]
        if not all(self._watermark.has_passed(end) for end in ends):
            return None
        comparison = self._comparison(evidence.model, evidence.version)
        if comparison is None:
            return ()
        key = (evidence.model, evidence.version, evidence.segment)
        tally = self._windows.sum_of(key, evidence.windows, comparison.grid_id, self._last)
        if evidence.rates:
            counts = self._windows.counts_of(key, evidence.windows, self._last)
            return judging.judge_rate_sums(counts, tally, evidence.rates, comparison)
        stream = self._streams.streams.get(key)
        learning = stream.learning if stream is not None else None
        return judging.judge_sum(tally, evidence.columns, comparison, learning, self._alpha(comparison, key))

    def symptoms(self, evidence: Evidence) -> Symptoms | None:
        """What speaks for one cause or another of an incident; the numbers of its windows and of the time before.

        Args:
            evidence: what the incident rests on; its windows are final.

        Returns:
            None if there is no baseline to compare with.
        """
        comparison = self._comparison(evidence.model, evidence.version)
        if comparison is None or not evidence.windows:
            return None
        version = (evidence.model, evidence.version)
        now = self._windows.all_in(evidence.windows, self._last)
        start, end = time_before(evidence.windows)
        stored = self._load(start, end, self._last) if self._load else ()
        past = [partial for partial in stored if start <= partial.window_start < end]
        return observe(
            evidence.segment,
            evidence.columns,
            comparison,
            counted_in_windows(now, version, comparison.grid_id),
            counted_in_partials(past, version, comparison.grid_id),
        )

    def restore(
        self,
        blocks_rows: Sequence[Mapping[str, Any]],
        partials: Iterable[Partial],
        batch_id: int,
        clocks: Mapping[int, PartitionClock],
        judged_rows: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Continue where the tables end; afterwards all is as if this watcher had taken in every micro-batch so far.

        Rows with a batch_id that is not below ``batch_id`` are passed over: they are of a micro-batch that comes again.

        Args:
            blocks_rows: the last 64 rows of ``blocks`` of every key (more do no harm).
            partials: the rows of ``profiles`` from :func:`needed_since` on.
            batch_id: the micro-batch that comes next.
            clocks: micro-batch -> clock of the partitions that it read, from the rows of ``batches``, for the same
                range.
            judged_rows: the last 64 rows of ``metrics`` of windows that were judged, of every key (more do no harm).
        """
        rows = [row for row in blocks_rows if row["batch_id"] < batch_id]
        recorded = state.latest_stream_state(rows)
        self._clear()
        self._without.clear()
        self._last = batch_id - 1
        self._streams.streams = state.restored_streams(rows)
        self._learn_again(rows)
        self._watermark.restore(recorded.clock, recorded.watermark)
        self._windows.owe(recorded.open_windows)
        by_batch: dict[int, list[Partial]] = defaultdict(list)
        for partial in partials:
            if recorded.needed_since <= partial.batch_id < batch_id:
                by_batch[partial.batch_id].append(partial)
        for number in sorted({*by_batch, *(n for n in clocks if recorded.batch_id < n < batch_id)}):
            # No block closed after the recorded state, or its row would have a newer one.
            self._streams.feed(number, by_batch[number], restoring=True)
            if number > recorded.batch_id:
                final_before = self._watermark.time
                self._watermark.advance(clocks.get(number, {}))
                self._windows.replay(by_batch[number], final_before)
        judged = [row for row in judged_rows if row["batch_id"] < batch_id]
        self._accuracy.restore(judged, self._watermark.time, batch_id)

    def _learn_again(self, rows: Sequence[Mapping[str, Any]]) -> None:
        by_key: dict[Key, list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            by_key[row["model"], row["version"], row["segment"]].append(row)
        for key, mine in by_key.items():
            stream = self._streams.streams[key]
            stream.learn_against(self._comparison(key[0], key[1]), self._patience)
            if stream.learning is not None:
                state.learn_again(stream.learning, mine)

    def _clear(self) -> None:
        settings = self._settings
        self._last = -1
        self._streams = BlockStreams(settings.block_min_events, settings.block_max_seconds)
        self._accuracy.clear()
        self._watermark = Watermark(
            timedelta(seconds=settings.allowed_lateness_seconds), timedelta(seconds=settings.idle_partition_seconds)
        )
        self._windows = Windows(settings.lengths, self._watermark, self._load)

    def _comparison(self, model: str, version: str) -> Comparison | None:
        found = self._comparisons.get((model, version))
        if found is None and (model, version) not in self._without:
            reference = self._references(model, version)
            if reference is None:
                self._without.add((model, version))
                return None
            found = self._comparisons[model, version] = Comparison(reference)
        return found

    def _close_blocks(self, batch_id: int) -> tuple[list[judging.Closed], list[BlockVerdict]]:
        closed = []
        for key in self._streams.ripe():
            comparison = self._comparison(key[0], key[1])
            block = self._streams.close(key, batch_id, comparison)
            self._streams.streams[key].learn_against(comparison, self._patience)
            alpha = self._alpha(comparison, key) if comparison else 0.0
            closed.append(judging.Closed(self._streams.streams[key], block, comparison, alpha))
        return closed, judging.judge_blocks(closed)

    def _judge_of(self, key: Key) -> Judge | None:
        comparison = self._comparison(key[0], key[1])
        if comparison is None or ACCURACY not in comparison.rates:
            return None
        return Judge(comparison, judging.rate_run_length(self._alpha(comparison, key)))

    def _never_judged(self, key: Key) -> bool:
        # A version keeps its first baseline.
        comparison = self._comparison(key[0], key[1])
        return comparison is not None and ACCURACY not in comparison.rates

    def _alpha(self, comparison: Comparison, key: Key) -> float:
        return judging.alpha_of(comparison, self._run_length, self._streams.segments_of(key[0], key[1]))

    def _state(self, batch_id: int) -> state.StreamState:
        return state.StreamState(
            batch_id,
            dict(self._watermark.clock),
            self._watermark.time,
            self._windows.open_windows,
            self._streams.open_since(),
        )


def needed_since(blocks_rows: Sequence[Mapping[str, Any]], batch_id: int) -> int:
    """The first micro-batch whose rows of ``profiles`` and ``batches`` :meth:`Watcher.restore` needs.

    Args:
        blocks_rows: as for :meth:`Watcher.restore`.
        batch_id: the micro-batch that comes next.
    """
    return state.latest_stream_state([row for row in blocks_rows if row["batch_id"] < batch_id]).needed_since


def partition_clock(offsets: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], datetime]:
    """The clock that a row of ``batches`` records.

    Args:
        offsets: the column ``offsets``.
    """
    return {(o["hub"], o["partition"]): o["last_enqueued"] for o in offsets if o["last_enqueued"] is not None}
