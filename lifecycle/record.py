"""The table ``retrainings`` as one retraining sees it: which states it has reached, and how it is found again. Edge."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.schemas.state_machines import RETRAINING, RetrainingState
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables, Row


@dataclass(slots=True)
class Record:
    """One attempt of one incident. A state that is written again after a crash is one row.

    Attributes:
        incident_id: the incident.
        attempt: 1, 2, …
        model: name of the registered model.
        rows: state -> its row.
    """

    incident_id: str
    attempt: int
    model: str
    rows: dict[RetrainingState, Row]
    _tables: DeltaTables
    _now: Callable[[], datetime]
    _trail: AuditTrail | None = None

    @property
    def key(self) -> str:
        """The name of the attempt, for tags and promotions."""
        return f"{self.incident_id}:{self.attempt}"

    @property
    def end(self) -> RetrainingState | None:
        """The state that ended it; None while it goes on."""
        return next((state for state in self.rows if state in RETRAINING.ends), None)

    @property
    def _last(self) -> RetrainingState | None:
        """The state that was reached last: rows come back in no order, but the states have one."""
        return max(self.rows, key=list(RetrainingState).index, default=None)

    def reach(
        self, state: RetrainingState, *, evidence: Mapping[str, Any] | None = None, **columns: Any
    ) -> RetrainingState:
        """Append a state with what is known by now, unless it was reached before.

        Args:
            state: the state.
            evidence: what the audit trail is told beside the columns.
            columns: what this state adds to the row.

        Raises:
            ContractError: if the state may not follow on the one that was reached last.
        """
        if state not in self.rows:
            RETRAINING.check(self._last, state)
            known = self.rows.get(RetrainingState.STARTED, {}) | self.rows.get(RetrainingState.TRAINED, {})
            carried = {name: known.get(name) for name in _CARRIED}
            key = {"incident_id": self.incident_id, "attempt": self.attempt, "state": str(state)}
            row = carried | key | {"at": self._now(), "model": self.model} | columns
            self._record(row, evidence or {})
            self._tables.append("retrainings", [row], transaction=(f"retraining/{self.key}/{state}", 1))
            self.rows[state] = row
        return state

    def _record(self, row: Row, evidence: Mapping[str, Any]) -> None:
        """Before the state is written, so that there is none without its record; a crash in between makes two."""
        if self._trail is not None:
            known = {name: row[name] for name in _EVIDENCE if row.get(name) is not None}
            self._trail.record(
                actor=f"retraining {self.key}",
                action="retraining.decide",
                subject=f"model {self.model}",
                decision=row["state"],
                reason=row.get("detail") or "",
                evidence={**known, **evidence},
            )


_EVIDENCE = (
    "champion", "challenger", "batch_id_max", "training_rows", "checksum", "champion_quality", "challenger_quality",
)  # fmt: skip
_CARRIED = ("champion", "challenger", "batch_id_max", "training_rows", "checksum")


def open_record(
    tables: DeltaTables,
    model: str,
    incident_id: str,
    now: Callable[[], datetime],
    trail: AuditTrail | None = None,
) -> Record:
    """Take up the newest attempt of an incident if it has not ended or has proven, else begin the next one."""
    mine = [row for row in tables.read("retrainings") if row["incident_id"] == incident_id]
    attempt = max((row["attempt"] for row in mine), default=1)
    rows = {RetrainingState(row["state"]): row for row in mine if row["attempt"] == attempt}
    record = Record(incident_id, attempt, model, rows, tables, now, trail)
    if record.end in (None, RetrainingState.PROVEN):
        return record
    return Record(incident_id, attempt + 1, model, {}, tables, now, trail)
