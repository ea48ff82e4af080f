"""The outbox: which alerts have left, by which sink, and which have not. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.dashboard.views.intervals import newest
from pegel.dashboard.views.scope import Scope
from pegel.dashboard.views.words import MAX_SENTENCE, Level, visible

Row = dict[str, Any]

SENT, FAILED, DEAD, WITHHELD = "sent", "failed", "dead", "withheld"


@dataclass(frozen=True, slots=True)
class SinkState:
    """One sink.

    Attributes:
        waiting: alerts that it has neither taken nor finally refused, and that are not withheld.
        oldest: when the oldest of them was decided.
        sent: alerts that it took.
        dead: alerts that were given up.
        failed: failed attempts, the repeated ones included.
        last_at: newest attempt.
        last: state and receipt or error of that attempt, in words.
    """

    sink: str
    level: Level
    waiting: int
    oldest: datetime | None
    sent: int
    dead: int
    failed: int
    last_at: datetime | None
    last: str


def deliveries(rows: Mapping[str, Sequence[Row]], scope: Scope) -> tuple[SinkState, ...]:
    """Every sink of the settings, and every other that the table knows."""
    attempts: dict[str, list[Row]] = {sink: [] for sink in scope.sinks}
    for row in rows["deliveries"]:
        attempts.setdefault(row["sink"], []).append(row)
    # A sink that the settings no longer name is owed nothing.
    alerts = (*rows["alerts"], *rows.get("pipeline_alerts", ()))
    decided = {row["alert_id"]: row["decided_time"] for row in alerts}
    owed = {sink: decided if sink in scope.sinks else {} for sink in attempts}
    return tuple(_one(sink, mine, owed[sink], scope) for sink, mine in attempts.items())


def _one(sink: str, attempts: Sequence[Row], decided: Mapping[str, datetime], scope: Scope) -> SinkState:
    states: dict[str, set[str]] = defaultdict(set)
    for row in attempts:
        states[row["alert_id"]].add(row["state"])
    waiting = [at for alert, at in decided.items() if not states[alert] & {SENT, DEAD, WITHHELD}]
    oldest = min(waiting, default=None)
    last = max(attempts, key=lambda r: (r["at"], r["attempt"]), default=None)
    dead = sum(DEAD in s for s in states.values())
    late = oldest is not None and (scope.now - oldest).total_seconds() > scope.stale_seconds
    return SinkState(
        sink=visible(sink),
        level=Level.BROKEN if dead or late else Level.OK,
        waiting=len(waiting),
        oldest=oldest,
        sent=sum(SENT in s for s in states.values()),
        dead=dead,
        failed=sum(r["state"] == FAILED for r in attempts),
        last_at=newest(r["at"] for r in attempts),
        last=f"{last['state']}: {visible(last['detail'], MAX_SENTENCE)}" if last else "",
    )
