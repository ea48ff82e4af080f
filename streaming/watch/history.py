"""What the tables hold of a stream's past, as the watch asks for it. Edge."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from pegel.schemas.metric_names import JUDGED_ACCURACY
from pegel.schemas.partials import CORRECT, EVENTS, LABELLED, LIVE, MERGED_SECONDS, Partial, partial_from_row
from pegel.streaming.statistics.alarm import LONGEST_LAG
from pegel.streaming.watch.labelled import LabelledWindow
from pegel.streaming.watch.state import StreamState, latest_stream_state, micros, time_of
from pegel.streaming.watch.watcher import Watcher, needed_since, partition_clock
from pegel.streaming.watch.watermark import PartitionClock
from pegel.tables.delta import DeltaTables, Row
from pegel.tables.merging import merged_up_to

_MERGED = timedelta(seconds=MERGED_SECONDS)
_STATES_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class PastBatch:
    """A micro-batch that was stored: its partials and the clock of the partitions that it read."""

    batch_id: int
    partials: list[Partial]
    clock: PartitionClock


class History:
    """The past of one stream.

    Args:
        tables: where ``profiles``, ``batches`` and ``blocks`` lie; none of them needs to be there yet.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables

    def partials(self, start: datetime, end: datetime, before: int) -> list[Partial]:
        """The partials of windows that overlap [start, end) with a batch_id below ``before``: what a watcher loads."""
        since = micros(start)
        # Where partials were added up, a window may begin before the one that is asked for.
        earliest = since - since % (MERGED_SECONDS * 1_000_000)
        overlaps = f"arrow_cast(window_start, 'Int64') + 1000000 * arrow_cast(window_s, 'Int64') > {since}"
        return self._partials(
            f"window_start >= {_sql_micros(earliest)} AND window_start < {_sql_micros(micros(end))} AND {overlaps} "
            f"AND batch_id < {int(before)}"
        )

    def batches(self, after: int, before: int, limit: int = 1000) -> list[PastBatch]:
        """The first ``limit`` micro-batches between two, both exclusive, in order.

        ``batches`` is written last, so what is listed there has all its partials.
        """
        sql = "SELECT batch_id, offsets FROM t WHERE {} ORDER BY batch_id LIMIT {}"
        rows = self._tables.read(
            "batches", sql.format(f"batch_id > {int(after)} AND batch_id < {int(before)}", int(limit))
        )
        if not rows:
            return []
        first, last = rows[0]["batch_id"], rows[-1]["batch_id"]
        found = dict(_by_batch(self.partials_of(first, last)))
        return [
            PastBatch(row["batch_id"], found.get(row["batch_id"], []), partition_clock(row["offsets"])) for row in rows
        ]

    def partials_of(self, first: int, last: int) -> list[Partial]:
        """The partials of the micro-batches from one to another, both inclusive."""
        return self._partials(f"batch_id >= {int(first)} AND batch_id <= {int(last)}")

    def blocks(self, before: int) -> list[Row]:
        """The last 64 rows of ``blocks`` of each key with a batch_id below ``before``."""
        ranked = (
            "SELECT *, row_number() OVER (PARTITION BY model, version, segment ORDER BY block_no DESC) AS age "
            f"FROM t WHERE batch_id < {int(before)}"
        )
        rows = self._tables.read("blocks", f"SELECT * FROM ({ranked}) WHERE age <= {LONGEST_LAG}")
        return [{name: value for name, value in row.items() if name != "age"} for row in rows]

    def judged(self, before: int) -> list[Row]:
        """The last 64 judged windows of each key with a batch_id below ``before``, as rows of ``metrics``."""
        if "judged" not in self._tables.columns("metrics"):
            return []
        ranked = (
            "SELECT model, version, segment, window_start, batch_id, baseline_id, n, judged, row_number() OVER "
            "(PARTITION BY model, version, segment ORDER BY window_start DESC) AS age "
            f"FROM t WHERE metric = '{JUDGED_ACCURACY}' AND batch_id < {int(before)}"
        )
        return self._tables.read("metrics", f"SELECT * FROM ({ranked}) WHERE age <= {LONGEST_LAG}")

    def judged_between(self, first: int, before: int) -> list[Row]:
        """The windows that were judged in a range of micro-batches, as rows of ``metrics``."""
        if "judged" not in self._tables.columns("metrics"):
            return []
        within = f"metric = '{JUDGED_ACCURACY}' AND batch_id >= {int(first)} AND batch_id < {int(before)}"
        return self._tables.read("metrics", f"SELECT * FROM t WHERE {within}")

    def labelled(self, since: datetime, before: int, seconds: int) -> list[LabelledWindow]:
        """What windows of so many seconds hold from ``since`` on, by micro-batches below ``before``.

        Their counters are added up beside Python: labels may be waited for over weeks.
        """
        micros_s = "arrow_cast(window_start, 'Int64')"
        start = f"{micros_s} - {micros_s} % {int(seconds) * 1_000_000}"
        sums = ", ".join(f"sum(coalesce(counts['{name}'], 0)) AS {name}" for name in (EVENTS, LABELLED, CORRECT))
        rows = self._tables.read(
            "profiles",
            f"SELECT model, version, segment, {start} AS start, {sums}, bool_or(kind = '{LIVE}') AS live, "
            "min(batch_id) AS first_batch_id, max(batch_id) AS last_batch_id FROM t "
            f"WHERE window_start >= {_sql_micros(micros(since))} AND batch_id < {int(before)} "
            f"AND {int(seconds)} % window_s = 0 GROUP BY model, version, segment, {start}",
        )
        return [
            LabelledWindow(
                (row["model"], row["version"], row["segment"]),
                time_of(row["start"]),
                *(row[name] for name in (EVENTS, LABELLED, CORRECT, "live", "first_batch_id", "last_batch_id")),
            )
            for row in rows
        ]

    def restore(self, watcher: Watcher, batch_id: int) -> None:
        """Let a watcher continue with the micro-batch ``batch_id``; rows of it and of later ones are passed over."""
        blocks = self.blocks(batch_id)
        past = self.batches(needed_since(blocks, batch_id) - 1, batch_id, limit=2**31)
        partials = [partial for batch in past for partial in batch.partials]
        clocks = {batch.batch_id: batch.clock for batch in past}
        watcher.restore(blocks, partials, batch_id, clocks, self.judged(batch_id))

    def merged_up_to(self) -> int:
        """The highest micro-batch whose partials are not kept one by one any more; -1 if all are."""
        return merged_up_to(self._tables)

    def first_complete(self) -> int:
        """The first micro-batch at which :meth:`restore` needs no partials that were added up to minutes.

        Returns:
            0 if none were; from there on a restored watcher says what the stream's own said, but of windows within a
            minute that was added up.

        Raises:
            OutsideError: if a table cannot be read.
        """
        merged = self.merged_up_to()
        if merged < 0:
            return 0
        asked = f"SELECT max(window_start) AS at FROM t WHERE batch_id <= {merged}"
        last = [row["at"] for row in self._tables.read("profiles", asked) if row["at"] is not None]
        for state in self._states(merged):
            short = [start for start, seconds in state.open_windows if seconds % MERGED_SECONDS]
            if state.needed_since > merged and not any(start < at + _MERGED for start in short for at in last):
                return state.batch_id + 1
        # No block has closed since: what comes next begins anew.
        return merged + 1

    def _states(self, after: int) -> Iterator[StreamState]:
        """The states of the stream that rows of ``blocks`` recorded after a micro-batch, in order."""
        while True:
            asked = f"""SELECT batch_id, state FROM t WHERE batch_id > {after} AND state LIKE '%"stream":%' """
            rows = self._tables.read("blocks", f"{asked}ORDER BY batch_id LIMIT {_STATES_AT_A_TIME}")
            yield from (latest_stream_state([row]) for row in rows)
            if len(rows) < _STATES_AT_A_TIME:
                return
            after = rows[-1]["batch_id"]

    def _partials(self, where: str) -> list[Partial]:
        return [partial_from_row(row) for row in self._tables.read("profiles", f"SELECT * FROM t WHERE {where}")]


def _by_batch(partials: list[Partial]) -> Iterator[tuple[int, list[Partial]]]:
    for batch_id, found in groupby(sorted(partials, key=lambda p: p.batch_id), key=lambda p: p.batch_id):
        yield batch_id, list(found)


def _sql_micros(number: int) -> str:
    return f"arrow_cast({number}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
