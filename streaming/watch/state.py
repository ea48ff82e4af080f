"""What a row of ``blocks`` holds beside the verdicts, so that a restart continues as if it had never happened. Pure.

Each row has its block's counts per bin and the points from which lags count, its rates and where their detectors
stand; each 64th row of a key also has what its blocks have taught about their spread. The first row of a
micro-batch also has the state of the whole stream after it: partition clocks, watermark, the windows that are not
final, and the first micro-batch that an open block holds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pegel.schemas.verdicts import BlockVerdict, ColumnVerdict, RateVerdict
from pegel.streaming.statistics.alarm import LONGEST_LAG
from pegel.streaming.watch.blocks import Block, BlockStream, Window
from pegel.streaming.watch.learning import Learning
from pegel.streaming.watch.rates import RateRun

Row = dict[str, Any]

_VERDICT = tuple(f.name for f in fields(ColumnVerdict))
_RATE = tuple(f.name for f in fields(RateVerdict) if f.name != "windows")


@dataclass(frozen=True, slots=True)
class StreamState:
    """The state of the whole stream after a micro-batch.

    Attributes:
        batch_id: the micro-batch.
        clock: (hub, partition) -> highest enqueued time.
        watermark: None before the first clock.
        open_windows: windows of any length that had counts and were not final.
        open_since: first micro-batch that an open block holds; None if none is open.
    """

    batch_id: int = -1
    clock: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    watermark: datetime | None = None
    open_windows: tuple[Window, ...] = ()
    open_since: int | None = None

    @property
    def needed_since(self) -> int:
        """The first micro-batch whose partials a restart needs."""
        return self.batch_id + 1 if self.open_since is None else min(self.open_since, self.batch_id + 1)


def block_row(verdict: BlockVerdict, block: Block, of_key: BlockStream, stream: StreamState | None) -> Row:
    """The row of ``blocks``.

    Args:
        verdict: of the block.
        block: the block.
        of_key: the blocks of its key after it. What they have learned goes into each 64th row: a restart is given the
            last 64, and learns again from those behind.
        stream: for the first row of a micro-batch.
    """
    state: Row = {
        "bins": {name: counts.tolist() for name, counts in block.bins.items()},
        "windows": [[micros(start), seconds] for start, seconds in block.windows],
        "restart": dict(sorted(of_key.restart.items())),
    }
    if block.rates:
        state["rates"] = {name: list(counted) for name, counted in sorted(block.rates.items())}
    if of_key.rates:
        # Also of a block that has no rate itself: a restart reads where the detectors stand from the last block.
        state["runs"] = {name: [run.start, *run.sums] for name, run in sorted(of_key.rates.items())}
    if of_key.learning is not None and block.block_no % LONGEST_LAG == 0:
        state["learning"] = of_key.learning.state()
    if stream is not None:
        state["stream"] = _stream_to_json(stream)
    return {
        "model": verdict.model,
        "version": verdict.version,
        "segment": verdict.segment,
        "block_no": verdict.block_no,
        "batch_id": verdict.last_batch_id,
        "first_batch_id": verdict.first_batch_id,
        "last_batch_id": verdict.last_batch_id,
        "n": verdict.n,
        "last_enqueued": verdict.last_enqueued,
        "baseline_id": verdict.baseline_id or None,
        "grid": block.grid,
        "verdicts": [{name: getattr(column, name) for name in _VERDICT} for column in verdict.columns],
        "state": json.dumps(state, separators=(",", ":")),
        "rates": [{name: getattr(rate, name) for name in _RATE} for rate in verdict.rates],
    }


def restored_streams(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], BlockStream]:
    """The closed blocks of every key.

    Args:
        rows: the last 64 rows of ``blocks`` of each key (more do no harm), in any order.
    """
    streams: dict[tuple[str, str, str], BlockStream] = {}
    for row in sorted(rows, key=lambda row: row["block_no"]):
        state = json.loads(row["state"])
        block = _block(row, state)
        stream = streams.setdefault(block.key, BlockStream())
        stream.append(block)
        stream.restart = dict(state["restart"])
        # Rows of versions that judged no rates have none.
        stream.rates = {name: RateRun(tuple(sums), start) for name, (start, *sums) in state.get("runs", {}).items()}
    return streams


def learn_again(learning: Learning, rows: Iterable[Mapping[str, Any]]) -> None:
    """Let a key continue to learn where the tables end.

    Args:
        learning: of nothing yet.
        rows: the last 64 rows of ``blocks`` of the key (more do no harm), in any order; those that were compared with
            another baseline are passed over.
    """
    mine = [row for row in rows if row["baseline_id"] == learning.comparison.baseline_id]
    behind: list[tuple[Mapping[str, Any], Row]] = []
    for row in sorted(mine, key=lambda row: -row["block_no"]):
        state = json.loads(row["state"])
        if "learning" in state:
            learning.restore(state["learning"])
            break
        behind.append((row, state))
    for row, state in reversed(behind):
        block = _block(row, state)
        learning.add(block.bins, block.last_enqueued, [ColumnVerdict(**verdict) for verdict in row["verdicts"]])


def latest_stream_state(rows: Sequence[Mapping[str, Any]]) -> StreamState:
    """The state of the stream after the newest micro-batch that closed a block; the empty one if there is none."""
    newest = max((row["batch_id"] for row in rows), default=-1)
    for row in rows:
        state = json.loads(row["state"]) if row["batch_id"] == newest else {}
        if "stream" in state:
            return _stream_from_json(row["batch_id"], state["stream"])
    return StreamState()


def _block(row: Mapping[str, Any], state: Mapping[str, Any]) -> Block:
    return Block(
        (row["model"], row["version"], row["segment"]),
        row["block_no"],
        row["first_batch_id"],
        row["last_batch_id"],
        row["n"],
        row["last_enqueued"],
        tuple((time_of(number), seconds) for number, seconds in state["windows"]),
        row["grid"],
        row["baseline_id"] or "",
        {name: np.array(counts, dtype=np.int64) for name, counts in state["bins"].items()},
        {name: (hits, n) for name, (hits, n) in state.get("rates", {}).items()},
    )


def _stream_to_json(stream: StreamState) -> Row:
    return {
        "clock": [[hub, partition, micros(time)] for (hub, partition), time in sorted(stream.clock.items())],
        "watermark": None if stream.watermark is None else micros(stream.watermark),
        "open_windows": [[micros(start), seconds] for start, seconds in stream.open_windows],
        "open_since": stream.open_since,
    }


def _stream_from_json(batch_id: int, state: Mapping[str, Any]) -> StreamState:
    return StreamState(
        batch_id,
        {(hub, partition): time_of(number) for hub, partition, number in state["clock"]},
        None if state["watermark"] is None else time_of(state["watermark"]),
        tuple((time_of(number), seconds) for number, seconds in state["open_windows"]),
        state["open_since"],
    )


def micros(time: datetime) -> int:
    """Microseconds since 1970, exactly.

    Example:
        >>> micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
        1000005
    """
    since = time - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def time_of(number: int) -> datetime:
    """What :func:`micros` has counted."""
    seconds, rest = divmod(number, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
