"""Which alerts still have to go out through one sink, and when. Pure: it is told the time and reads no table.

Its state is what the rows of ``deliveries`` say, so that the successor of a dispatcher which died knows the same. An
attempt that was claimed and has no outcome may have arrived or not: it is made again, so alerts go out at least once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pegel.alerts.sink import Alert

_ALWAYS = datetime.min.replace(tzinfo=UTC)

Row = dict[str, Any]


class DeliveryState(StrEnum):
    """The steps of an attempt: claimed, then sent, failed or, at the last one, dead."""

    CLAIMED = "claimed"
    SENT = "sent"
    FAILED = "failed"
    DEAD = "dead"


_ENDED = (DeliveryState.SENT, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failed attempt: 1 s, doubled each time up to the cap, with no chance in it.

    One process sends for all, so that there is no herd which jitter would have to spread.
    """

    cap_seconds: float
    max_attempts: int

    def delay_seconds(self, attempt: int) -> float:
        """Seconds to wait after attempt 1, 2, ….

        Example:
            >>> [Backoff(cap_seconds=10.0, max_attempts=9).delay_seconds(n) for n in (1, 2, 3, 4, 5)]
            [1.0, 2.0, 4.0, 8.0, 10.0]
        """
        # 2^30 s is beyond any cap that makes sense, and a larger power would overflow a float.
        return min(self.cap_seconds, 2.0 ** min(attempt - 1, 30))


@dataclass(slots=True)
class _Entry:
    alert: Alert
    attempt: int = 0
    not_before: datetime = _ALWAYS


class Outbox:
    """The alerts that one sink has not taken yet.

    Args:
        sink: its name.
        backoff: when to try again, and when to give up.
    """

    def __init__(self, sink: str, backoff: Backoff) -> None:
        self._sink = sink
        self._backoff = backoff
        self._waiting: dict[str, _Entry] = {}
        self._ended: set[str] = set()
        self._hold_until = _ALWAYS

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, alerts: Iterable[Alert]) -> None:
        """Take alerts in; those it knows already change nothing."""
        for alert in alerts:
            if alert["alert_id"] not in self._ended:
                self._waiting.setdefault(alert["alert_id"], _Entry(alert))

    def recall(self, deliveries: Iterable[Mapping[str, Any]]) -> None:
        """Learn from rows of ``deliveries`` what was done before; call it after :meth:`add`."""
        rows = [row for row in deliveries if row["sink"] == self._sink]
        self._ended |= {row["alert_id"] for row in rows if row["state"] in _ENDED}
        for alert_id in self._ended:
            self._waiting.pop(alert_id, None)
        for row in rows:
            entry = self._waiting.get(row["alert_id"])
            if entry is None:
                continue
            entry.attempt = max(entry.attempt, row["attempt"])
            if row["state"] == DeliveryState.FAILED:
                entry.not_before = max(entry.not_before, self._again(row["attempt"], row["at"], None))

    def due(self, now: datetime, *, ignore_backoff: bool = False) -> list[Alert]:
        """The alerts to send now, the oldest first."""
        if now < self._hold_until and not ignore_backoff:
            return []
        found = [e.alert for e in self._waiting.values() if ignore_backoff or e.not_before <= now]
        return sorted(found, key=lambda alert: (alert["batch_id"], alert["incident_id"], alert["sequence"]))

    def claim(self, alerts: Sequence[Alert], now: datetime, audit_heads: str | None = None) -> list[Row]:
        """Begin the next attempt; the rows have to be written before anything is sent.

        Args:
            alerts: what is sent.
            now: when.
            audit_heads: what goes out with each of them.
        """
        for alert in alerts:
            self._waiting[alert["alert_id"]].attempt += 1
        return [{**self._row(alert, DeliveryState.CLAIMED, now, None), "audit_heads": audit_heads} for alert in alerts]

    def sent(self, alerts: Sequence[Alert], now: datetime, receipt: str) -> list[Row]:
        """The sink took them."""
        return self._end(alerts, DeliveryState.SENT, now, receipt)

    def failed(
        self, alerts: Sequence[Alert], now: datetime, detail: str, retry_after_seconds: float | None = None
    ) -> list[Row]:
        """The sink did not take them: they wait, or are dead after the last attempt.

        What the sink asked for wins over the schedule where it is longer.
        """
        rows = []
        for alert in alerts:
            entry = self._waiting[alert["alert_id"]]
            if entry.attempt >= self._backoff.max_attempts:
                rows += self._end([alert], DeliveryState.DEAD, now, detail)
                continue
            entry.not_before = self._again(entry.attempt, now, retry_after_seconds)
            rows.append(self._row(alert, DeliveryState.FAILED, now, detail))
        return rows

    def hold(self, now: datetime, retry_after_seconds: float | None, attempts: int) -> None:
        """Leave the sink alone for a while: what stopped one portion would stop the next one too."""
        self._hold_until = self._again(attempts, now, retry_after_seconds)

    def _again(self, attempt: int, failed_at: datetime, retry_after_seconds: float | None) -> datetime:
        return failed_at + timedelta(seconds=max(self._backoff.delay_seconds(attempt), retry_after_seconds or 0.0))

    def _end(self, alerts: Sequence[Alert], state: DeliveryState, now: datetime, detail: str) -> list[Row]:
        rows = [self._row(alert, state, now, detail) for alert in alerts]
        for alert in alerts:
            del self._waiting[alert["alert_id"]]
            self._ended.add(alert["alert_id"])
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
