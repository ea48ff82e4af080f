"""Up to which micro-batch nobody needs partials one by one any more: no replay, and no restart of the watch. Edge."""

from datetime import timedelta

from pegel.schemas.partials import MERGED_SECONDS
from pegel.streaming.watch.state import latest_stream_state, micros
from pegel.tables.delta import DeltaTables


def mergeable_up_to(tables: DeltaTables, retention: timedelta) -> int:
    """The last micro-batch whose partials, and those of all before, may be added up to minutes.

    It was committed longer than the retention before the newest one. A watcher that starts again needs neither it nor
    any before: no open block holds it, and no window that is shorter than a minute and was not final.

    Args:
        tables: the stream's.
        retention: how long replays are promised.

    Returns:
        -1 if there is none, as before the first block has closed.

    Raises:
        OutsideError: if a table cannot be read.
    """
    newest = "(SELECT max(committed_at) FROM t)"
    seconds = int(retention.total_seconds())
    kept = f"committed_at IS NULL OR committed_at >= {newest} - INTERVAL '{seconds} seconds'"
    first_kept = _lowest(tables, "batches", kept)
    if first_kept is None:
        return -1
    rows = tables.read("blocks", "SELECT batch_id, state FROM t WHERE batch_id = (SELECT max(batch_id) FROM t)")
    recorded = latest_stream_state(rows)
    needed = [first_kept, recorded.needed_since]
    open_windows = [start for start, seconds in recorded.open_windows if seconds % MERGED_SECONDS]
    if open_windows:
        since = f"arrow_cast(window_start, 'Int64') >= {micros(min(open_windows))}"
        touched = _lowest(tables, "profiles", since)
        needed += [] if touched is None else [touched]
    return min(needed) - 1


def _lowest(tables: DeltaTables, name: str, where: str) -> int | None:
    rows = tables.read(name, f"SELECT min(batch_id) AS n FROM t WHERE {where}")
    return rows[0]["n"] if rows else None
