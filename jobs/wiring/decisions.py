"""From a stored micro-batch to its decisions: the watch and the incidents, and their rows. Edge.

Everything that they remember is rebuilt from the tables when the job starts, so a restart changes no decision.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.alerts.incidents import Incidents
from pegel.alerts.policy import load_policy
from pegel.conf.settings import Settings
from pegel.schemas.partials import Partial, partial_from_row
from pegel.schemas.policy import AlertState
from pegel.schemas.verdicts import BatchFacts
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
from pegel.streaming.watch.references import BaselineCatalog
from pegel.streaming.watch.watcher import Watcher, needed_since, partition_clock
from pegel.tables.delta import DeltaTables, Row

_ENDED = (AlertState.RETRACTED.value, AlertState.RESOLVED.value)
_EPOCH = datetime.fromtimestamp(0, UTC)
_LONGEST_LAG = 64


@dataclass(frozen=True, slots=True)
class Decided:
    """The rows that a micro-batch adds, by their tables."""

    blocks: list[Row]
    metrics: list[Row]
    alerts: list[Row]


class Decisions:
    """Decides the micro-batches of one stream, in order.

    Args:
        tables: the tables below ``storage.root``.
        settings: how blocks close, when windows are final, which policy.
    """

    def __init__(self, tables: DeltaTables, settings: Settings) -> None:
        self._tables = tables
        self._policy = load_policy(settings.watch.policy)
        self._incidents = Incidents(self._policy)
        self._watcher = Watcher(
            settings.watch,
            BaselineCatalog(tables),
            alerts_per_month=self._policy.alerts_per_month,
            shortest_block_seconds=settings.ingest.trigger_seconds,
            load=self._load,
        )
        self._restored = False

    def decide(self, batch: IngestedBatch) -> Decided:
        """Decide one micro-batch; what it gives has yet to be written."""
        if not self._restored:
            self._restore(batch.batch_id)
            self._restored = True
        output = self._watcher.advance(batch.batch_id, batch.partials, partition_clock(batch.offsets))
        facts = BatchFacts(
            batch.batch_id,
            batch.newest_event,
            batch.newest_enqueued,
            batch.stored_at,
            datetime.now(UTC),
            batch.counts.conserved,
        )
        judged = {e.incident_id: self._watcher.judge_windows(e) for e in self._incidents.unconfirmed()}
        alerts = self._incidents.advance(output.blocks, judged, self._retrainings(), facts)
        return Decided(output.block_rows, output.metric_rows, alerts)

    def forget(self) -> None:
        """Read the tables again before the next micro-batch.

        To be called when rows of the last one were in the tables already: a process that died may have decided on other
        ``retrainings`` than this one saw, and the tables are right.
        """
        self._restored = False

    def _restore(self, batch_id: int) -> None:
        blocks = self._tables.read("blocks", _last_blocks(batch_id))
        since = needed_since(blocks, batch_id)
        within = f"batch_id >= {since} AND batch_id < {batch_id}"
        profiles = self._tables.read("profiles", f"SELECT * FROM t WHERE {within}")
        batches = self._tables.read("batches", f"SELECT batch_id, offsets FROM t WHERE {within}")
        clocks = {row["batch_id"]: partition_clock(row["offsets"]) for row in batches}
        self._watcher.restore(blocks, map(partial_from_row, profiles), batch_id, clocks)
        alerts = self._unresolved_alerts(batch_id)
        heard: list[Row] = []
        conserved: dict[int, bool] = {}
        if alerts:
            first = min(row["batch_id"] for row in alerts)
            within = f"batch_id >= {first} AND batch_id < {batch_id}"
            heard = self._tables.read("blocks", f"SELECT * FROM t WHERE {within}")
            conserved = dict(_conserved(self._tables.read("batches", f"SELECT * FROM t WHERE {within}")))
        self._incidents.restore(alerts, heard, conserved)

    def _unresolved_alerts(self, batch_id: int) -> list[Row]:
        rows = self._tables.read("alerts", f"SELECT * FROM t WHERE batch_id < {batch_id}")
        ended = {row["incident_id"] for row in rows if row["state"] in _ENDED}
        return [row for row in rows if row["incident_id"] not in ended]

    def _retrainings(self) -> dict[str, str]:
        """Incident -> the latest state of its retraining; read only while an incident is open."""
        if not self._incidents.unresolved:
            return {}
        rows = self._tables.read("retrainings", "SELECT incident_id, state, at FROM t")
        return {row["incident_id"]: row["state"] for row in sorted(rows, key=lambda row: row["at"])}

    def _load(self, start: datetime, end: datetime, before: int) -> Iterator[Partial]:
        within = " AND ".join(
            (
                f"window_start >= to_timestamp_micros({_micros(start)})",
                f"window_start < to_timestamp_micros({_micros(end)})",
                f"batch_id < {before}",
            )
        )
        return map(partial_from_row, self._tables.read("profiles", f"SELECT * FROM t WHERE {within}"))


def _last_blocks(batch_id: int) -> str:
    number = "row_number() OVER (PARTITION BY model, version, segment ORDER BY block_no DESC)"
    return f"SELECT * FROM (SELECT *, {number} AS age FROM t WHERE batch_id < {batch_id}) WHERE age <= {_LONGEST_LAG}"


def _conserved(rows: Iterable[Row]) -> Iterator[tuple[int, bool]]:
    names = BatchCounts.__dataclass_fields__
    for row in rows:
        yield row["batch_id"], BatchCounts(**{name: row[name] for name in names}).conserved


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
