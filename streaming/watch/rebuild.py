"""Blocks and metrics once more, from stored partials: for rebuilds and backtests. Edge.

A new watcher takes in every micro-batch in order, so with the same settings and baselines it says what the stream said.
A baseline that was registered while its version was already live is known here from the start. Where partials were
added up to minutes, it begins after them, with what the stream's own rows of ``blocks`` say of the time before.
"""

from pegel.errors import OutsideError
from pegel.streaming.watch.history import History
from pegel.streaming.watch.watcher import Watcher
from pegel.tables.delta import DeltaTables

_CHUNK = 200
_NEVER = 2**62


class Rebuild:
    """Takes in what a stream has stored and writes ``blocks`` and ``metrics`` elsewhere.

    Args:
        history: of the stream.
        watcher: a new one.
        out: other tables than the stream's, as one process writes a table; without ``blocks`` and ``metrics``.
    """

    def __init__(self, history: History, watcher: Watcher, out: DeltaTables) -> None:
        self._history = history
        self._watcher = watcher
        self._out = out
        self.first = history.first_complete()
        """The micro-batch with which it begins."""
        if self.first:
            history.restore(watcher, self.first)
        self._last = self.first - 1
        for table in ("blocks", "metrics"):
            out.create(table)

    def step(self) -> int:
        """Take in the next micro-batches, at most 200 of them.

        Returns:
            how many; 0 if there is no new one.

        Raises:
            OutsideError: if a table cannot be read, or partials that were to come have been added up meanwhile.
        """
        blocks, metrics = [], []
        found = self._history.batches(self._last, _NEVER, _CHUNK)
        if self._history.merged_up_to() > self._last:
            msg = "partials were added up to minutes before they were watched again; begin again with another --out"
            raise OutsideError(msg)
        for batch in found:
            output = self._watcher.advance(batch.batch_id, batch.partials, batch.clock)
            blocks += output.block_rows
            metrics += output.metric_rows
            self._last = batch.batch_id
        self._out.append("blocks", blocks)
        self._out.append("metrics", metrics)
        return len(found)
