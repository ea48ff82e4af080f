"""What happened, read from the tables that every other reader sees, and told once each. Reads tables only."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pegel.lifecycle.promotion import PROMOTED
from pegel.tables.delta import DeltaTables, Row

Turn = tuple[datetime, tuple[str, ...], str, str]
"""When, a key that is told once, a title of a few words, and the details."""

CLOSED = "CLOSED"
RESOLVED = "RESOLVED"
ROLLED_BACK = "ROLLED_BACK"
OPEN = "OPEN"
TIMED_OUT = "TIMED_OUT"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The demo's last line. Times are seconds; null where it never came to that.

    Attributes:
        events_sent: prediction events that were sent; equals stored + dead letters + duplicates.
        onset_to_alert_s: from the onset of the drift to the delivery of the incident's first alert.
        event_to_alert_p95_s: 95th percentile, over all alerts of the run, of delivery less the enqueued time of the
            newest event of the micro-batch that decided it.
        recovered_s: from the onset to the proof.
        state: CLOSED (resolved and proven), RESOLVED (over, and nothing was retrained), ROLLED_BACK, OPEN or TIMED_OUT.
    """

    events_sent: int
    events_stored: int
    dead_letters: int
    duplicates: int
    incident_id: str | None
    alert_id: str | None
    onset_to_alert_s: float | None
    event_to_alert_p95_s: float | None
    retrain_runs: int
    champion_before: str | None
    champion_after: str | None
    recovered_s: float | None
    state: str


@dataclass(slots=True)
class Story:
    """Looks at the tables and tells each new turn once.

    Args:
        tables: where to look.
        tell: called with the time, a title of a few words, and the details.
    """

    tables: DeltaTables
    tell: Callable[[datetime, str, str], None]
    onset: datetime | None = None
    _told: set[tuple[str, ...]] = field(default_factory=set)
    _seen: dict[str, tuple[int, list[Row]]] = field(default_factory=dict)

    def look(self) -> None:
        """Tell whatever is new since the last look."""
        turns = [*self._alert_turns(), *self._delivery_turns(), *self._retraining_turns(), *self._promotion_turns()]
        for at, key, title, details in sorted(turns, key=lambda turn: turn[0]):
            if key not in self._told:
                self._told.add(key)
                self.tell(at, title, details)

    @property
    def state(self) -> str | None:
        """The end that the loop has come to, or None while it goes on."""
        retrainings = self._rows("retrainings")
        if any(row["state"] == "rolled_back" for row in retrainings):
            return ROLLED_BACK
        incident = self._incident()
        if incident is None:
            return None
        resolved = any(a["state"] == "resolved" for a in self._alerts_of(incident))
        proven = any(r["state"] == "proven" and r["incident_id"] == incident for r in retrainings)
        if resolved and any(a["cause"] and a["action"] != "retrain" for a in self._alerts_of(incident)):
            return RESOLVED
        return CLOSED if resolved and proven else None

    @property
    def incident_id(self) -> str | None:
        """The incident that the onset brought, if any."""
        return self._incident()

    @property
    def cause(self) -> str | None:
        """What that incident was diagnosed as, once it is confirmed."""
        incident = self._incident()
        return next((row["cause"] for row in self._alerts_of(incident) if row["cause"]), None) if incident else None

    @property
    def promoted(self) -> bool:
        """Whether a challenger has become the champion."""
        return any(row["reason"] == PROMOTED for row in self._rows("promotions"))

    def counts(self) -> tuple[int, int, int]:
        """Prediction events stored, dead letters and duplicates, over all micro-batches."""
        rows = self._rows("batches")
        stored, dead, duplicates = (sum(row[name] for row in rows) for name in ("stored", "dead_letters", "duplicates"))
        return stored, dead, duplicates

    def outcome(self, events_sent: int, state: str) -> Outcome:
        """The demo's last line, from what the tables say now."""
        stored, dead, duplicates = self.counts()
        incident = self._incident()
        alerts = self._alerts_of(incident) if incident else []
        sent = {row["alert_id"]: row["at"] for row in self._rows("deliveries") if row["state"] == "sent"}
        retrainings = [row for row in self._rows("retrainings") if row["incident_id"] == incident]
        proven = next((row["at"] for row in retrainings if row["state"] == "proven"), None)
        moves = sorted(self._rows("promotions"), key=lambda row: row["at"])
        first = sent.get(alerts[0]["alert_id"]) if alerts else None
        return Outcome(
            events_sent=events_sent,
            events_stored=stored,
            dead_letters=dead,
            duplicates=duplicates,
            incident_id=incident,
            alert_id=alerts[0]["alert_id"] if alerts else None,
            onset_to_alert_s=self._since_onset(first),
            event_to_alert_p95_s=_p95(_waits(self._rows("alerts"), sent)),
            retrain_runs=sum(row["state"] == "started" for row in self._rows("retrainings")),
            champion_before=moves[0]["new_version"] if moves else None,
            champion_after=moves[-1]["new_version"] if moves else None,
            recovered_s=self._since_onset(proven),
            state=state,
        )

    def _alert_turns(self) -> Iterator[Turn]:
        for row in self._rows("alerts"):
            yield row["decided_time"], ("alert", row["alert_id"]), f"incident {row['state']}", row["title"]
            if row["cause"]:
                details = f"{row['cause']}, so the incident asks for {row['action']}"
                yield row["decided_time"], ("cause", row["alert_id"]), "diagnosed", details

    def _delivery_turns(self) -> Iterator[Turn]:
        for row in self._rows("deliveries"):
            if row["state"] == "sent":
                details = f"{self._state_of(row['alert_id'])} → {row['sink']}"
                yield row["at"], ("sent", row["alert_id"], row["sink"]), "alert delivered", details
        for row in self._rows("webhook_calls"):
            details = f"{row['alert_rule']} {row['condition']}" + (f", run {row['run_id']}" if row["run_id"] else "")
            yield row["received_at"], ("call", row["call_id"], row["outcome"]), f"webhook {row['outcome']}", details

    def _retraining_turns(self) -> Iterator[Turn]:
        for row in self._rows("retrainings"):
            key = ("retraining", row["incident_id"], str(row["attempt"]), row["state"])
            yield row["at"], key, f"retraining {row['state']}", row["detail"] or ""

    def _promotion_turns(self) -> Iterator[Turn]:
        for row in self._rows("promotions"):
            key = ("promotion", row["model"], row["expected_version"], row["new_version"])
            yield (
                row["at"],
                key,
                "champion moved",
                f"version {row['expected_version'] or 'none'} → {row['new_version']}",
            )

    def _incident(self) -> str | None:
        """The first incident after the onset that was not retracted."""
        if self.onset is None:
            return None
        known = (row for row in self._rows("alerts") if row["decided_time"] >= self.onset)
        alerts = sorted(known, key=lambda row: (row["decided_time"], row["sequence"]))
        retracted = {row["incident_id"] for row in alerts if row["state"] == "retracted"}
        return next((row["incident_id"] for row in alerts if row["incident_id"] not in retracted), None)

    def _alerts_of(self, incident: str) -> list[Row]:
        return sorted((r for r in self._rows("alerts") if r["incident_id"] == incident), key=lambda r: r["sequence"])

    def _state_of(self, alert_id: str) -> str:
        return next((row["state"] for row in self._rows("alerts") if row["alert_id"] == alert_id), "?")

    def _since_onset(self, at: datetime | None) -> float | None:
        return None if at is None or self.onset is None else round((at - self.onset).total_seconds(), 2)

    def _rows(self, name: str) -> list[Row]:
        version = self.tables.version(name)
        seen = self._seen.get(name)
        if seen is None or seen[0] != version:
            seen = (version, self.tables.read(name))
            self._seen[name] = seen
        return seen[1]


def _waits(alerts: Sequence[Row], sent: dict[str, datetime]) -> list[float]:
    return [
        (sent[row["alert_id"]] - row["enqueued_time"]).total_seconds()
        for row in alerts
        if row["alert_id"] in sent and row["enqueued_time"] is not None
    ]


def _p95(values: Sequence[float]) -> float | None:
    """The smallest value that at least 95 % of the values do not exceed; None for none.

    Example:
        >>> _p95([3.0, 1.0, 2.0])
        3.0
    """
    return round(sorted(values)[math.ceil(0.95 * len(values)) - 1], 2) if values else None
