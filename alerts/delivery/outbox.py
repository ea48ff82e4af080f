"""Which alerts still have to go out through one sink, and when. Pure: it is told the time and reads no table.

Its state is what the rows of ``deliveries`` say, so that the successor of a dispatcher which died knows the same. An
attempt that was claimed and has no outcome may have arrived or not: it is made again, so alerts go out at least once.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pegel.alerts.delivery.sink import Alert
from pegel.schemas.policy import AlertState

SOURCES = ("alerts", "pipeline_alerts")
"""The tables of what is sent: what the stream decided, and what was decided beside it."""

JITTER = 0.5
"""So much is taken off a wait at most: two dispatchers that fail together are seldom back together."""

_ALWAYS = datetime.min.replace(tzinfo=UTC)

Row = dict[str, Any]


class DeliveryState(StrEnum):
    """The steps of an attempt: claimed, then sent, failed or, if it was the last one or was refused, dead.

    What nobody is to be told at the moment is withheld, without an attempt. What is dead may be asked for again.
    """

    CLAIMED = "claimed"
    SENT = "sent"
    FAILED = "failed"
    DEAD = "dead"
    WITHHELD = "withheld"
    AGAIN = "again"


_ENDED = (DeliveryState.SENT, DeliveryState.DEAD)
_OPEN = (AlertState.OPENED, AlertState.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failed attempt: 1 s, doubled each time up to the cap, less some jitter.

    The jitter keeps the dispatchers of many installations apart when the service that all of them wait for comes back.
    It is drawn from a hash and not from chance, so that whoever takes over after a crash waits until the same moment.

    Attributes:
        cap_seconds: no wait is longer.
        max_attempts: after so many an alert is given up.
        jitter: the largest share of a wait that is taken off, from 0 to 1.
        seed: what tells this dispatcher from those of other installations.
    """

    cap_seconds: float
    max_attempts: int
    jitter: float = 0.0
    seed: str = ""

    def delay_seconds(self, attempt: int) -> float:
        """Seconds to wait after attempt 1, 2, ….

        Example:
            >>> [Backoff(cap_seconds=10.0, max_attempts=9).delay_seconds(n) for n in (1, 2, 3, 4, 5)]
            [1.0, 2.0, 4.0, 8.0, 10.0]
            >>> 5.0 < Backoff(cap_seconds=10.0, max_attempts=9, jitter=0.5, seed="a").delay_seconds(5) <= 10.0
            True
        """
        # 2^30 s is beyond any cap that makes sense, and a larger power would overflow a float.
        longest = min(self.cap_seconds, 2.0 ** min(attempt - 1, 30))
        drawn = hashlib.sha256(f"{self.seed}|{attempt}".encode()).digest()
        return longest * (1.0 - self.jitter * int.from_bytes(drawn[:4], "big") / 2**32)


@dataclass(slots=True)
class _Entry:
    """An alert that waits; ``before`` counts the attempts of an earlier time, if it is sent once more."""

    alert: Alert
    attempt: int = 0
    before: int = 0
    not_before: datetime = _ALWAYS

    @property
    def tries(self) -> int:
        return self.attempt - self.before


class Outbox:
    """The alerts that one sink has not taken yet, and those of open incidents that it has to be told again.

    Args:
        sink: its name.
        backoff: when to try again, and when to give up.
        repeat_seconds: how long after the last transition of an open incident was taken, or given up, it is sent once
            more, under the same ``alert_id``; None never.
    """

    def __init__(self, sink: str, backoff: Backoff, repeat_seconds: float | None = None) -> None:
        self._sink = sink
        self._backoff = backoff
        self._repeat = None if repeat_seconds is None else timedelta(seconds=repeat_seconds)
        self._waiting: dict[str, _Entry] = {}
        self._ended: set[str] = set()
        self._asked: set[str] = set()
        self._told: set[str] = set()
        self._withheld: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._ended_at: dict[str, datetime] = {}
        self._latest: dict[str, Alert] = {}
        self._hold_until = _ALWAYS

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, alerts: Iterable[Alert]) -> None:
        """Take alerts in; those it knows already change nothing."""
        for alert in alerts:
            if alert["alert_id"] not in self._ended | self._withheld:
                self._waiting.setdefault(alert["alert_id"], _Entry(alert))
            latest = self._latest.setdefault(alert["incident_id"], alert)
            if alert["sequence"] > latest["sequence"]:
                self._latest[alert["incident_id"]] = alert

    def recall(self, deliveries: Iterable[Mapping[str, Any]]) -> None:
        """Learn from rows of ``deliveries`` what was done before; call it after :meth:`add`."""
        rows = [row for row in deliveries if row["sink"] == self._sink]
        asked = _newest(rows, DeliveryState.AGAIN)
        ended = {name: row for name, row in _newest(rows, *_ENDED).items() if name not in asked or row > asked[name]}
        self._ended |= ended.keys()
        self._asked |= asked.keys() - self._ended
        withheld = {row["alert_id"] for row in rows if row["state"] == DeliveryState.WITHHELD}
        self._withheld |= withheld - self._ended - self._asked
        # What was claimed may have arrived, whatever became of it.
        tried = {row["alert_id"] for row in rows if row["state"] in (DeliveryState.CLAIMED, DeliveryState.SENT)}
        self._told |= {entry.alert["incident_id"] for name, entry in self._waiting.items() if name in tried}
        for alert_id in self._ended | self._withheld:
            self._waiting.pop(alert_id, None)
        for row in rows:
            self._attempts[row["alert_id"]] = max(row["attempt"], self._attempts.get(row["alert_id"], 0))
            if row["state"] in (*_ENDED, DeliveryState.WITHHELD):
                self._ended_at[row["alert_id"]] = max(row["at"], self._ended_at.get(row["alert_id"], _ALWAYS))
            entry = self._waiting.get(row["alert_id"])
            if entry is None:
                continue
            entry.attempt = max(entry.attempt, row["attempt"])
            if row["state"] == DeliveryState.AGAIN:
                entry.before = max(entry.before, row["attempt"])
            if row["state"] == DeliveryState.FAILED:
                entry.not_before = max(entry.not_before, self._again(row["attempt"], row["at"], None))

    def withhold(self, now: datetime, reason: Callable[[Alert], str | None]) -> list[Row]:
        """Set aside what nobody is to be told at the moment, and let wait again what somebody may be told by now.

        The end of an incident is withheld only if nothing of it may have arrived: who was told of it has to hear that
        it is over. What a person asked for again is not withheld. Of what was withheld the last transition is sent once
        there is no reason any more, if it is still open.

        Args:
            now: the time.
            reason: why an alert is withheld, in words; None if it is not.

        Returns:
            rows for ``deliveries``.
        """
        for alert in self._latest.values():
            alert_id = alert["alert_id"]
            if alert_id in self._withheld and alert["state"] in _OPEN and reason(alert) is None:
                self._withheld.discard(alert_id)
                attempt = self._attempts.get(alert_id, 0)
                self._waiting[alert_id] = _Entry(alert, attempt, attempt)
        self._renew(now)
        rows = []
        for alert_id, entry in list(self._waiting.items()):
            if alert_id in self._asked:
                continue
            why = reason(entry.alert)
            if why is None or (entry.alert["state"] not in _OPEN and entry.alert["incident_id"] in self._told):
                continue
            rows.append(self._row(entry.alert, DeliveryState.WITHHELD, now, why))
            self._attempts[alert_id] = self._waiting.pop(alert_id).attempt
            if alert_id in self._ended:
                self._ended_at[alert_id] = now
            else:
                self._withheld.add(alert_id)
        return rows

    def due(self, now: datetime, *, ignore_backoff: bool = False) -> list[Alert]:
        """The alerts to send now, the oldest first; an alert waits for the earlier ones of its incident."""
        if now < self._hold_until and not ignore_backoff:
            return []
        self._renew(now)
        found, behind = [], set()
        for entry in sorted(self._waiting.values(), key=_place):
            incident = entry.alert["incident_id"]
            if incident not in behind and (ignore_backoff or entry.not_before <= now):
                found.append(entry.alert)
            else:
                behind.add(incident)
        return found

    def claim(self, alerts: Sequence[Alert], now: datetime, audit_heads: str | None = None) -> list[Row]:
        """Begin the next attempt; the rows have to be written before anything is sent.

        Args:
            alerts: what is sent.
            now: when.
            audit_heads: what goes out with each of them.
        """
        for alert in alerts:
            self._waiting[alert["alert_id"]].attempt += 1
            self._told.add(alert["incident_id"])
        return [{**self._row(alert, DeliveryState.CLAIMED, now, None), "audit_heads": audit_heads} for alert in alerts]

    def sent(self, alerts: Sequence[Alert], now: datetime, receipt: str) -> list[Row]:
        """The sink took them."""
        return self._end(alerts, DeliveryState.SENT, now, receipt)

    def failed(
        self, alerts: Sequence[Alert], now: datetime, detail: str, retry_after_seconds: float | None = None
    ) -> list[Row]:
        """The sink could not take them: they wait, or are dead after the last attempt.

        What the sink asked for wins over the schedule where it is longer.
        """
        rows = []
        for alert in alerts:
            entry = self._waiting[alert["alert_id"]]
            if entry.tries >= self._backoff.max_attempts:
                rows += self._end([alert], DeliveryState.DEAD, now, detail)
                continue
            entry.not_before = self._again(entry.tries, now, retry_after_seconds)
            rows.append(self._row(alert, DeliveryState.FAILED, now, detail))
        return rows

    def refused(self, alerts: Sequence[Alert], now: datetime, detail: str) -> list[Row]:
        """The sink does not want what is in them, and would not want it the next time: they are dead."""
        return self._end(alerts, DeliveryState.DEAD, now, detail)

    def hold(self, alerts: Sequence[Alert], now: datetime, retry_after_seconds: float | None) -> None:
        """Leave the sink alone after it failed with these: what stopped one portion would stop the next one too."""
        failed = [self._waiting[alert["alert_id"]] for alert in alerts if alert["alert_id"] in self._waiting]
        self._hold_until = self._again(failed[0].tries if failed else 1, now, retry_after_seconds)

    def _renew(self, now: datetime) -> None:
        """Let the last transition of each open incident wait once more when its time has come."""
        if self._repeat is None:
            return
        for alert in self._latest.values():
            alert_id = alert["alert_id"]
            ended_at = self._ended_at.get(alert_id)
            if alert_id not in self._ended or ended_at is None or now - ended_at < self._repeat:
                continue
            if alert["state"] in _OPEN and alert_id not in self._waiting:
                attempt = self._attempts[alert_id]
                self._waiting[alert_id] = _Entry(alert, attempt, attempt)

    def _again(self, attempt: int, failed_at: datetime, retry_after_seconds: float | None) -> datetime:
        return failed_at + timedelta(seconds=max(self._backoff.delay_seconds(attempt), retry_after_seconds or 0.0))

    def _end(self, alerts: Sequence[Alert], state: DeliveryState, now: datetime, detail: str) -> list[Row]:
        rows = [self._row(alert, state, now, detail) for alert in alerts]
        for alert in alerts:
            alert_id = alert["alert_id"]
            self._attempts[alert_id] = self._waiting.pop(alert_id).attempt
            self._ended.add(alert_id)
            self._asked.discard(alert_id)
            self._ended_at[alert_id] = now
        return rows

    def _row(self, alert: Alert, state: DeliveryState, now: datetime, detail: str | None) -> Row:
        entry = self._waiting[alert["alert_id"]]
        return {
            "alert_id": alert["alert_id"],
            "sink": self._sink,
            "attempt": entry.attempt,
            "state": state.value,
            "at": now,
            "detail": detail,
        }


def _newest(rows: Iterable[Mapping[str, Any]], *states: DeliveryState) -> dict[str, tuple[datetime, int]]:
    """Alert -> the time and attempt of its newest row in one of these states."""
    found: dict[str, tuple[datetime, int]] = {}
    for row in rows:
        if row["state"] in states:
            found[row["alert_id"]] = max((row["at"], row["attempt"]), found.get(row["alert_id"], (_ALWAYS, 0)))
    return found


def _place(entry: _Entry) -> tuple[int, str, int]:
    return entry.alert["batch_id"], entry.alert["incident_id"], entry.alert["sequence"]
