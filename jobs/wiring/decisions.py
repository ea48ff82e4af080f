"""From a stored micro-batch to its decisions: the watch and the incidents, and their rows. Wiring.

Everything that they remember is rebuilt from the tables when the job starts, so a restart changes no decision.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pegel.alerts.incident import Incident, Judgement
from pegel.alerts.incidents import Incidents
from pegel.alerts.policy import load_policy
from pegel.conf.deciding import deciding_hash
from pegel.conf.settings import Settings
from pegel.jobs.wiring.pipeline_past import health_of, past_health
from pegel.jobs.wiring.watching import build_watcher
from pegel.schemas.diagnosis import Symptoms
from pegel.schemas.policy import AlertState, Policy
from pegel.schemas.verdicts import BatchFacts, Evidence
from pegel.streaming.ingest.batch import IngestedBatch, counts_of
from pegel.streaming.watch.history import History
from pegel.streaming.watch.surroundings import Surroundings
from pegel.streaming.watch.watcher import partition_clock
from pegel.tables.delta import DeltaTables, Row

_ENDED = (AlertState.RETRACTED.value, AlertState.RESOLVED.value)

Retrainings = Callable[[Sequence[Incident]], Mapping[str, str]]
"""Unresolved incidents -> the latest state of the retraining of each, where there is one."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a decision about the past is made with, where that is not what the stream itself would take.

    Attributes:
        history: instead of what the tables hold.
        policy: instead of the one that the settings name.
        retrainings: instead of their newest states in the tables.
        clock: what stands for now.
    """

    history: History | None = None
    policy: Policy | None = None
    retrainings: Retrainings | None = None
    clock: Callable[[], datetime] | None = None


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
        past: for a replay or a backtest.
    """

    def __init__(self, tables: DeltaTables, settings: Settings, past: Past | None = None) -> None:
        past = past or Past()
        policy = past.policy or load_policy(settings.watch.policy)
        self._tables = tables
        self._history = past.history or History(tables)
        self._watcher = build_watcher(settings, tables, policy, self._history)
        self._incidents = Incidents(policy, settings_hash=deciding_hash(settings))
        self._retrainings = past.retrainings or self._newest_retrainings
        self._clock = past.clock or (lambda: datetime.now(UTC))
        self._predictions_hub = settings.source.predictions_hub
        self._surroundings = Surroundings(tables, self._predictions_hub)
        self._restored = False

    def decide(self, batch: IngestedBatch) -> Decided:
        """Decide one micro-batch; what it gives has yet to be written."""
        if not self._restored:
            self._history.restore(self._watcher, batch.batch_id)
            self._restore_incidents(batch.batch_id)
            self._restored = True
        output = self._watcher.advance(batch.batch_id, batch.partials, partition_clock(batch.offsets))
        facts = BatchFacts(
            batch.batch_id,
            batch.newest_event,
            batch.newest_enqueued,
            batch.stored_at,
            self._clock(),
            batch.counts.conserved,
            health_of(batch, self._predictions_hub),
        )
        judged = {e.incident_id: self._watcher.judge_windows(e) for e in self._incidents.unconfirmed()}
        retrainings = self._retrainings(self._incidents.unresolved)
        verdicts: list[Judgement] = [*output.blocks, *output.windows]
        alerts = self._incidents.advance(verdicts, judged, retrainings, facts, self._symptoms_of)
        return Decided(output.block_rows, output.metric_rows, alerts)

    def _symptoms_of(self, evidence: Evidence) -> Symptoms | None:
        found = self._watcher.symptoms(evidence)
        return None if found is None else self._surroundings.add_to(found, evidence, self._watcher.last)

    def forget(self) -> None:
        """Read the tables again before the next micro-batch.

        To be called when rows of the last one were in the tables already: a process that died may have decided on other
        ``retrainings`` than this one saw, and the tables are right.
        """
        self._restored = False

    def _restore_incidents(self, batch_id: int) -> None:
        alerts = self._unresolved_alerts(batch_id)
        heard: list[Row] = []
        windows: list[Row] = []
        conserved: dict[int, bool] = {}
        if alerts:
            first = min(row["batch_id"] for row in alerts)
            within = f"SELECT * FROM t WHERE batch_id >= {first} AND batch_id < {batch_id}"
            heard = self._tables.read("blocks", within)
            conserved = dict(_conserved(self._tables.read("batches", within)))
            windows = self._history.judged_between(first, batch_id)
        past = past_health(self._tables, batch_id, self._predictions_hub)
        self._incidents.restore(alerts, heard, conserved, past, windows)

    def _unresolved_alerts(self, batch_id: int) -> list[Row]:
        rows = self._tables.read("alerts", f"SELECT * FROM t WHERE batch_id < {batch_id}")
        ended = {row["incident_id"] for row in rows if row["state"] in _ENDED}
        return [row for row in rows if row["incident_id"] not in ended]

    def _newest_retrainings(self, unresolved: Sequence[Incident]) -> dict[str, str]:
        """Read only while an incident is open."""
        if not unresolved:
            return {}
        rows = self._tables.read("retrainings", "SELECT incident_id, state, at FROM t")
        return {row["incident_id"]: row["state"] for row in sorted(rows, key=lambda row: row["at"])}


def _conserved(rows: Iterable[Row]) -> Iterator[tuple[int, bool]]:
    for row in rows:
        yield row["batch_id"], counts_of(row).conserved
