"""Whether the stream itself lives, decided beside it: how old its newest micro-batch is, and its events. Edge.

A stream that is dead cannot say so. Whoever delivers alerts runs beside it, reads a clock, and writes what it finds to
``pipeline_alerts``, a table of its own with the columns of ``alerts``. An incident is named after the rule, how many
the rule had before, and the newest micro-batch: whoever finds the same thing again finds it under the same name, and a
rule that rings once more while nothing is committed pages once more.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel import __version__
from pegel.alerts.incident import PIPELINE, alert_key, incident_key
from pegel.alerts.message import moment
from pegel.schemas.partials import ALL
from pegel.schemas.policy import BESIDE_KINDS, Action, AlertState, Policy, Rule, RuleKind
from pegel.tables.delta import DeltaTables

TABLE = "pipeline_alerts"

_log = logging.getLogger(__name__)

_COLUMNS = "batch_id, committed_at, offsets"
_TOLD = "incident_id, sequence, state, rule, severity, runbook, batch_id, since, decided_time"

Row = dict[str, Any]


class StreamWatch:
    """Looks at ``batches``, and keeps what it found in ``pipeline_alerts``; no other process writes that table.

    Args:
        tables: where both lie.
        policy: its rules of the kinds ``heartbeat`` and ``lag``.
        holder: which kind of process holds the stream's lease at the moment; None if none does.
        now: the clock.
        every_seconds: how often it looks, whoever asks it more often.
    """

    def __init__(
        self,
        tables: DeltaTables,
        policy: Policy,
        holder: Callable[[], str | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        every_seconds: float = 5.0,
    ) -> None:
        self._tables = tables
        self._policy = policy
        self._rules = [rule for rule in policy.rules if rule.kind in BESIDE_KINDS]
        self._holder = holder
        self._now = now
        self._every = timedelta(seconds=every_seconds)
        self._looked_at: datetime | None = None
        self._highest = -1

    def look(self) -> list[Row]:
        """Look once, and write what began or ended.

        Returns:
            the rows that were written.

        Raises:
            OutsideError: if a table cannot be read or written.
        """
        now = self._now()
        if self._looked_at is not None and now - self._looked_at < self._every:
            return []
        self._looked_at = now
        newest = self._newest()
        if newest is None:
            return []
        unresolved, incidents = self._told()
        rows = []
        for rule in self._rules:
            known = unresolved.pop(rule.name, None)
            if known is None:
                rows += self._begin(rule, newest, incidents[rule.name], now)
            else:
                rows += self._end(rule, newest, known, now)
        # What is left is of rules that the policy has no more.
        rows += [self._forgotten(known, newest, now) for known in unresolved.values()]
        if rows:
            self._tables.append(TABLE, rows)
        return rows

    def _begin(self, rule: Rule, newest: Row, earlier: int, now: datetime) -> list[Row]:
        seconds = _seconds(rule, newest, now)
        if seconds <= rule.for_seconds:
            return []
        words = self._began(rule, newest, seconds)
        since = newest["committed_at"] if rule.kind is RuleKind.HEARTBEAT else _reached(newest)
        name = incident_key(PIPELINE, f"{rule.name}|{earlier}", newest["batch_id"])
        first = self._row(rule, name, newest["batch_id"], since, now) | {"action": rule.action.value}
        # Both are counts of seconds that nothing later could confirm or retract.
        states = enumerate((AlertState.OPENED, AlertState.CONFIRMED), start=1)
        return [first | _transition(name, n, state, words) for n, state in states]

    def _end(self, rule: Rule, newest: Row, known: Row, now: datetime) -> list[Row]:
        # It ends below half of what rings, so that it does not come and go.
        seconds = _seconds(rule, newest, now)
        if seconds > rule.for_seconds / 2:
            return []
        name, since = known["incident_id"], known["since"]
        moved = newest["batch_id"] > known["batch_id"]
        words = _ended(rule, since) if moved else _allowed(rule, since, newest, seconds)
        ended = self._row(rule, name, newest["batch_id"], since, now)
        return [ended | _transition(name, known["sequence"] + 1, AlertState.RESOLVED, words)]

    def _forgotten(self, known: Row, newest: Row, now: datetime) -> Row:
        rule = Rule(known["rule"], RuleKind.HEARTBEAT, "*", 0.0, known["severity"], Action.NONE, known["runbook"])
        words = (
            f"The rule {rule.name} is not in the policy any more",
            f"It began {moment(known['since'])}; nobody looks after it now. There is nothing to do.",
        )
        ended = self._row(rule, known["incident_id"], newest["batch_id"], known["since"], now)
        return ended | _transition(known["incident_id"], known["sequence"] + 1, AlertState.RESOLVED, words)

    def _began(self, rule: Rule, newest: Row, seconds: float) -> tuple[str, str]:
        if rule.kind is RuleKind.LAG:
            return (
                f"The stream is {seconds:.0f} s behind",
                f"In the slowest partition of micro-batch {newest['batch_id']} the newest event had waited "
                f"{seconds:.0f} s when that was committed, where {rule.for_seconds:g} s are allowed: numbers and "
                "alerts are late by so much. It ends by itself below half of that.",
            )
        return (
            f"No micro-batch has been committed for {seconds:.0f} s",
            f"The last one is {newest['batch_id']}, committed {moment(newest['committed_at'])}; {rule.for_seconds:g} s "
            f"are allowed. Of the stream's tables {self._lives()}. While nothing is committed nothing is watched, and "
            "no other alert comes. If the process lives, either no event comes at all or it hangs. It ends by itself "
            "with the next micro-batch.",
        )

    def _lives(self) -> str:
        try:
            holder = self._holder()
        except Exception as error:  # a lease that cannot be read must not cost the page
            _log.warning("who holds the lease of the stream's tables is not known: %s: %s", type(error).__name__, error)
            return "it is not known whether a process holds the lease, since that cannot be read"
        return f"a process ({holder}) holds the lease" if holder else "no process holds the lease: the stream is dead"

    def _row(self, rule: Rule, name: str, batch_id: int, since: datetime | None, now: datetime) -> Row:
        return {
            "incident_id": name,
            "batch_id": batch_id,
            "rule": rule.name,
            "model": PIPELINE,
            "version": "",
            "segment": ALL,
            "column": "",
            "columns": [],
            "severity": rule.severity,
            "action": Action.NONE.value,
            "calibrated": True,
            "first_batch_id": batch_id,
            "last_batch_id": batch_id,
            "since": since,
            "windows": [],
            "decided_time": now,
            "runbook": rule.runbook,
            "policy_hash": self._policy.hash,
            "code_version": __version__,
        }

    def _newest(self) -> Row | None:
        asked = f"SELECT {_COLUMNS} FROM t WHERE batch_id >= {self._highest:d} ORDER BY batch_id DESC LIMIT 1"
        newest = next(iter(self._tables.read("batches", asked)), None)
        if newest is None or newest["committed_at"] is None:
            return None
        self._highest = newest["batch_id"]
        return newest

    def _told(self) -> tuple[dict[str, Row], Counter[str]]:
        """Rule -> the last transition of its incident that is open, and how many incidents it had."""
        rows = self._tables.read(TABLE, f"SELECT {_TOLD} FROM t")
        last = {row["rule"]: row for row in sorted(rows, key=lambda row: (row["decided_time"], row["sequence"]))}
        incidents = Counter(rule for rule, _ in {(row["rule"], row["incident_id"]) for row in rows})
        return {rule: row for rule, row in last.items() if row["state"] != AlertState.RESOLVED}, incidents


def _seconds(rule: Rule, newest: Row, now: datetime) -> float:
    return _age(newest, now) if rule.kind is RuleKind.HEARTBEAT else _lag(newest)


def _age(newest: Row, now: datetime) -> float:
    return float((now - newest["committed_at"]).total_seconds())


def _lag(newest: Row) -> float:
    reached = _reached(newest)
    return 0.0 if reached is None else float((newest["committed_at"] - reached).total_seconds())


def _reached(newest: Mapping[str, Any]) -> datetime | None:
    """How far the slowest partition is of those that the micro-batch read events of; None if no one knows."""
    # Backfill has no enqueued times: files are as old as they are.
    offsets: Sequence[Mapping[str, Any]] = newest["offsets"]
    return min((part["last_enqueued"] for part in offsets if part["last_enqueued"] is not None), default=None)


def _transition(name: str, sequence: int, state: AlertState, words: tuple[str, str]) -> Row:
    return {
        "alert_id": alert_key(name, sequence),
        "sequence": sequence,
        "state": state.value,
        "title": words[0],
        "message": words[1],
    }


def _ended(rule: Rule, since: datetime | None) -> tuple[str, str]:
    what = "The stream commits micro-batches again" if rule.kind is RuleKind.HEARTBEAT else "The stream has caught up"
    return what, f"It began {moment(since)}. Events that waited in the hub meanwhile are stored and watched."


def _allowed(rule: Rule, since: datetime | None, newest: Row, seconds: float) -> tuple[str, str]:
    return (
        f"The rule {rule.name} does not ring any more, though no micro-batch has come",
        f"It began {moment(since)}. Micro-batch {newest['batch_id']} is still the newest; the rule counts "
        f"{seconds:.0f} s and allows {rule.for_seconds:g} s now. It rings again beyond that.",
    )
