"""Whether the stream itself lives, decided beside it: how old its newest micro-batch is, and its events. Edge.

A stream that is dead cannot say so. Whoever delivers alerts runs beside it, reads a clock, and writes what it finds to
``pipeline_alerts``, a table of its own with the columns of ``alerts``. An incident is named after the rule and the
newest micro-batch, so whoever finds the same thing again finds it under the same name.
"""

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

_COLUMNS = "batch_id, committed_at, offsets"

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
        unresolved = self._unresolved()
        rows = [row for rule in self._rules for row in self._decide(rule, newest, unresolved.pop(rule.name, None), now)]
        # What is left is of rules that the policy has no more.
        rows += [self._forgotten(known, newest, now) for known in unresolved.values()]
        if rows:
            self._tables.append(TABLE, rows)
        return rows

    def _decide(self, rule: Rule, newest: Row, known: Row | None, now: datetime) -> list[Row]:
        seconds = _age(newest, now) if rule.kind is RuleKind.HEARTBEAT else _lag(newest)
        if known is None:
            if seconds <= rule.for_seconds:
                return []
            words = self._began(rule, newest, seconds)
            since = newest["committed_at"] if rule.kind is RuleKind.HEARTBEAT else _newest_event(newest)
            name = incident_key(PIPELINE, rule.name, newest["batch_id"])
            first = self._row(rule, name, newest["batch_id"], since, now) | {"action": rule.action.value}
            # Both are counts of seconds that nothing later could confirm or retract.
            states = enumerate((AlertState.OPENED, AlertState.CONFIRMED), start=1)
            return [first | _transition(name, n, state, words) for n, state in states]
        # It ends below half of what rings, so that it does not come and go.
        if seconds > rule.for_seconds / 2:
            return []
        name, since = known["incident_id"], known["since"]
        ended = self._row(rule, name, newest["batch_id"], since, now)
        return [ended | _transition(name, known["sequence"] + 1, AlertState.RESOLVED, _ended(rule, since))]

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
                f"The newest event of micro-batch {newest['batch_id']} had waited {seconds:.0f} s when that was "
                f"committed, where {rule.for_seconds:g} s are allowed: numbers and alerts are late by so much. It "
                "ends by itself below half of that.",
            )
        holder = self._holder()
        lives = f"a process ({holder}) holds the lease" if holder else "no process holds the lease: the stream is dead"
        return (
            f"No micro-batch has been committed for {seconds:.0f} s",
            f"The last one is {newest['batch_id']}, committed {moment(newest['committed_at'])}; {rule.for_seconds:g} s "
            f"are allowed. Of the stream's tables {lives}. While nothing is committed nothing is watched, and no other "
            "alert comes. If the process lives, either no event comes at all or it hangs. It ends by itself with the "
            "next micro-batch.",
        )

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
        found = self._tables.read("batches", f"SELECT {_COLUMNS} FROM t WHERE batch_id >= {self._highest:d}")
        newest = max(found, key=lambda row: row["batch_id"], default=None)
        if newest is None or newest["committed_at"] is None:
            return None
        self._highest = newest["batch_id"]
        return newest

    def _unresolved(self) -> dict[str, Row]:
        last: dict[str, Row] = {}
        for row in sorted(self._tables.read(TABLE), key=lambda row: (row["decided_time"], row["sequence"])):
            last[row["rule"]] = row
        return {rule: row for rule, row in last.items() if row["state"] != AlertState.RESOLVED}


def _age(newest: Row, now: datetime) -> float:
    return float((now - newest["committed_at"]).total_seconds())


def _lag(newest: Row) -> float:
    event = _newest_event(newest)
    return 0.0 if event is None else float((newest["committed_at"] - event).total_seconds())


def _newest_event(newest: Mapping[str, Any]) -> datetime | None:
    # Backfill has no enqueued times: files are as old as they are.
    offsets: Sequence[Mapping[str, Any]] = newest["offsets"]
    return max((part["last_enqueued"] for part in offsets if part["last_enqueued"] is not None), default=None)


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
