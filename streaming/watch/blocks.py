"""Arrival blocks: the units on which alarms are decided. Pure.

A block is, for one model version and segment, the sum of whole consecutive live micro-batches until it has enough
events or the enqueued times of these micro-batches span long enough. No clock is read, every live event is in exactly
one block, and a closed block never changes.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pegel.errors import ContractError
from pegel.schemas.partials import LIVE, Partial, Tally
from pegel.streaming.statistics.alarm import LONGEST_LAG
from pegel.streaming.statistics.cells import IntArray
from pegel.streaming.watch.learning import Learning, Patience
from pegel.streaming.watch.rates import RateRun
from pegel.streaming.watch.reference import Comparison

Key = tuple[str, str, str]
"""(model, version, segment)."""

Window = tuple[datetime, int]
"""(start, length in seconds)."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A closed block.

    Attributes:
        block_no: from 0, in order, per key.
        first_batch_id: first micro-batch in it.
        last_batch_id: the micro-batch in which it closed.
        n: events in it.
        last_enqueued: highest enqueued time in it.
        windows: the base windows that it touches, in order.
        grid: the grid of its cells; the baseline's if it has any on that.
        baseline_id: what it is compared with; empty if nothing.
        bins: watched column -> counts per bin; empty if it is compared with nothing.
        rates: rate -> (hits, events), for the rates that the baseline knows and of which there are events.
    """

    key: Key
    block_no: int
    first_batch_id: int
    last_batch_id: int
    n: int
    last_enqueued: datetime
    windows: tuple[Window, ...]
    grid: str
    baseline_id: str
    bins: Mapping[str, IntArray]
    rates: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class OpenBlock:
    """A block that may still grow."""

    first_batch_id: int
    span_first: datetime
    span_last: datetime
    last_enqueued: datetime
    tallies: dict[str, Tally] = field(default_factory=dict)
    windows: set[Window] = field(default_factory=set)

    @property
    def n(self) -> int:
        """Events in it so far."""
        return sum(tally.n for tally in self.tallies.values())

    def add(self, partial: Partial) -> None:
        """Add one live partial."""
        self.tallies.setdefault(partial.grid, Tally()).add(partial.tally)
        self.windows.add((partial.window_start, partial.window_s))
        if partial.last_enqueued is not None:
            self.last_enqueued = max(self.last_enqueued, partial.last_enqueued)

    def close(self, key: Key, block_no: int, batch_id: int, comparison: Comparison | None) -> Block:
        """Freeze it."""
        on_grid = self.tallies.get(comparison.grid_id) if comparison else None
        most = max(self.tallies, key=lambda grid: (self.tallies[grid].n, grid))
        return Block(
            key,
            block_no,
            self.first_batch_id,
            batch_id,
            self.n,
            self.last_enqueued,
            tuple(sorted(self.windows)),
            comparison.grid_id if comparison and on_grid else most,
            comparison.baseline_id if comparison else "",
            comparison.bin(on_grid or Tally()) if comparison else {},
            comparison.rates_in(self._counts(), on_grid or Tally()) if comparison else {},
        )

    def _counts(self) -> Counter[str]:
        # Counters do not depend on the grid.
        counts: Counter[str] = Counter()
        for tally in self.tallies.values():
            counts.update(tally.counts)
        return counts


@dataclass(slots=True)
class BlockStream:
    """The blocks of one key, the newest last.

    Attributes:
        recent: the last 64 closed blocks that were compared with the same baseline.
        restart: column -> the block from which its lags count; a column that rang starts again after that block.
        rates: rate -> where its detector stands; one that is not there is at its start.
        next_no: number of the next block.
        open: the block that grows; None between blocks.
        learning: what its blocks teach about their spread; None while the version has no baseline.
    """

    recent: deque[Block] = field(default_factory=lambda: deque(maxlen=LONGEST_LAG))
    restart: dict[str, int] = field(default_factory=dict)
    rates: dict[str, RateRun] = field(default_factory=dict)
    next_no: int = 0
    open: OpenBlock | None = None
    learning: Learning | None = None

    def append(self, block: Block) -> None:
        """Add the newest closed block. Counts on bins of another baseline cannot be pooled with it and are dropped."""
        if self.recent and self.recent[-1].baseline_id != block.baseline_id:
            self.recent.clear()
            self.rates.clear()
        self.recent.append(block)
        self.next_no = block.block_no + 1
        first = self.recent[0].block_no
        self.restart = {column: no for column, no in self.restart.items() if no > first}

    def learn_against(self, comparison: Comparison | None, patience: Patience) -> None:
        """Begin to learn, or begin anew with another baseline."""
        if comparison is None:
            self.learning = None
        elif self.learning is None or self.learning.comparison.baseline_id != comparison.baseline_id:
            self.learning = Learning(comparison, patience)

    def pooled(self, column: str) -> list[Block]:
        """The blocks that the column's lags may pool, the newest last."""
        start = self.restart.get(column, 0)
        return [block for block in self.recent if block.block_no >= start]

    def since_ring(self, rate: str) -> list[Block]:
        """The recent blocks in which the rate was counted, since it rang last, the newest last."""
        start = self.rates.get(rate, RateRun()).start
        return [block for block in self.recent if block.block_no >= start and rate in block.rates]


class BlockStreams:
    """The blocks of all keys.

    Args:
        min_events: a block with so many events closes.
        max_seconds: a block whose micro-batches span so much enqueued time closes.
    """

    def __init__(self, min_events: int, max_seconds: float) -> None:
        self._min_events = min_events
        self._max_span = timedelta(seconds=max_seconds)
        self.streams: dict[Key, BlockStream] = {}

    def feed(self, batch_id: int, partials: Iterable[Partial], *, restoring: bool = False) -> None:
        """Add the live partials of one micro-batch to the open blocks; closes none.

        Args:
            batch_id: the micro-batch.
            partials: all its partials; those that are not live are passed over.
            restoring: pass over what a closed block holds already.
        """
        live = [p for p in partials if p.kind == LIVE]
        span = _span(live)
        if span is None:
            return
        for stream in self.streams.values():
            if stream.open is not None:
                stream.open.span_first = min(stream.open.span_first, span[0])
                stream.open.span_last = max(stream.open.span_last, span[1])
        for partial in live:
            stream = self.streams.setdefault(key_of(partial), BlockStream())
            if restoring and stream.recent and batch_id <= stream.recent[-1].last_batch_id:
                continue
            if stream.open is None:
                stream.open = OpenBlock(batch_id, *span, partial.last_enqueued or span[0])
            stream.open.add(partial)

    def ripe(self) -> list[Key]:
        """The keys whose open block is to close now, in order."""
        return sorted(key for key, stream in self.streams.items() if self._is_full(stream.open))

    def close(self, key: Key, batch_id: int, comparison: Comparison | None) -> Block:
        """Close the open block of a key.

        Raises:
            ContractError: if no block of that key is open; :meth:`ripe` names those that are.
        """
        stream = self.streams[key]
        if stream.open is None:
            msg = f"no block of {key} is open, so none can close"
            raise ContractError(msg)
        block = stream.open.close(key, stream.next_no, batch_id, comparison)
        stream.open = None
        stream.append(block)
        return block

    def open_since(self) -> int | None:
        """The first micro-batch that an open block holds; None if no block is open."""
        firsts = [stream.open.first_batch_id for stream in self.streams.values() if stream.open is not None]
        return min(firsts, default=None)

    def segments_of(self, model: str, version: str) -> int:
        """How many segments of a version have had events; they share its budget of false alarms."""
        return sum(key[:2] == (model, version) for key in self.streams)

    def _is_full(self, block: OpenBlock | None) -> bool:
        if block is None:
            return False
        return block.n >= self._min_events or block.span_last - block.span_first >= self._max_span


def key_of(partial: Partial) -> Key:
    """The key of the block that a partial belongs to."""
    return partial.model, partial.version, partial.segment


def windows_of(blocks: Sequence[Block]) -> tuple[Window, ...]:
    """The base windows that any of the blocks touches, in order."""
    return tuple(sorted({window for block in blocks for window in block.windows}))


def _span(live: Sequence[Partial]) -> tuple[datetime, datetime] | None:
    firsts = [p.first_enqueued for p in live if p.first_enqueued is not None]
    lasts = [p.last_enqueued for p in live if p.last_enqueued is not None]
    if len(firsts) < len(live) or len(lasts) < len(live):
        msg = "a live partial has no enqueued times, so no block can say how long it spans; ingest must fill them"
        raise ContractError(msg)
    return (min(firsts), max(lasts)) if live else None
