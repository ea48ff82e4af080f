"""The dispatcher: from the table ``alerts`` to the sinks, with every step in ``deliveries``. Edge.

At least once out: an attempt is claimed in the table before it is made, and its outcome is written after it. Whoever
reads the alerts drops copies by ``alert_id``. The rows of an incident go out in their order, however often one fails; a
row that is refused for what is in it is given up, and the next one follows.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pegel.alerts.delivery.outbox import SOURCES, Backoff, DeliveryState, Outbox, Row
from pegel.alerts.delivery.sink import Alert, DeliveryError, Sink
from pegel.alerts.delivery.withholding import Withholding
from pegel.errors import OutsideError
from pegel.schemas.audit import Head, write_heads
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

_log = logging.getLogger(__name__)

_DETAIL_LENGTH = 500

REPEAT_SECONDS = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one step did, over all sinks: alerts sent, attempts that failed, alerts given up, alerts that still wait."""

    sent: int
    failed: int
    dead: int
    waiting: int


class Dispatcher:
    """Sends each row of ``alerts`` and ``pipeline_alerts`` through each sink.

    Args:
        tables: where ``alerts`` and ``pipeline_alerts`` are read and ``deliveries`` is written; no other process writes
            the latter.
        sinks: where to send.
        backoff: when to try again.
        now: the clock.
        repeat_seconds: how often a sink that forgets is told again of an incident that is still open.
        trail: where it is recorded that an alert is given up.
        audit_heads: the heads of all audit chains, which leave with every alert: kept elsewhere, they prove later that
            nobody changed what was recorded before.
    """

    def __init__(
        self,
        tables: DeltaTables,
        sinks: Sequence[Sink],
        backoff: Backoff,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        repeat_seconds: float = REPEAT_SECONDS,
        trail: AuditTrail | None = None,
        audit_heads: Callable[[], Mapping[str, Head]] = dict,
    ) -> None:
        self._tables = tables
        self._sinks = sinks
        self._backoff = backoff
        self._now = now
        self._repeat_seconds = repeat_seconds
        self._trail = trail
        self._audit_heads = audit_heads
        self._withholding = Withholding(tables)
        self._outboxes: dict[str, Outbox] | None = None
        self._last_told: dict[tuple[str, str], datetime] = {}
        self._versions = dict.fromkeys(SOURCES, -1)
        self._highest_batch = dict.fromkeys(SOURCES, -1)

    def step(self, *, ignore_backoff: bool = False) -> Delivered:
        """Send what is due.

        Raises:
            OutsideError: if a table cannot be read or written; the next step then begins from what the tables say.
        """
        try:
            outboxes = self._refresh()
            self._withholding.refresh()
            outcomes = [row for sink in self._sinks for row in self._deliver(sink, outboxes[sink.name], ignore_backoff)]
        except Exception:
            self._outboxes = None
            raise
        states = [row["state"] for row in outcomes]
        return Delivered(
            states.count(DeliveryState.SENT),
            states.count(DeliveryState.FAILED),
            states.count(DeliveryState.DEAD),
            sum(len(outbox) for outbox in outboxes.values()),
        )

    def _refresh(self) -> dict[str, Outbox]:
        known = self._outboxes
        outboxes = known or {
            sink.name: Outbox(sink.name, self._backoff, self._repeat_seconds if sink.forgets else None)
            for sink in self._sinks
        }
        if known is None:
            self._versions = dict.fromkeys(SOURCES, -1)
            self._highest_batch = dict.fromkeys(SOURCES, -1)
        for table in SOURCES:
            alerts = self._new_alerts(table)
            for outbox in outboxes.values():
                outbox.add(alerts)
        if known is None:
            deliveries = self._tables.read("deliveries")
            for outbox in outboxes.values():
                outbox.recall(deliveries)
        self._outboxes = outboxes
        return outboxes

    def _new_alerts(self, table: str) -> list[Row]:
        version = self._tables.version(table)
        if version <= self._versions[table]:
            return []
        # Rows of one micro-batch come in one commit, and micro-batches in their order.
        alerts: list[Row] = self._tables.read(table, f"SELECT * FROM t WHERE batch_id >= {self._highest_batch[table]}")
        self._versions[table] = version
        self._highest_batch[table] = max((row["batch_id"] for row in alerts), default=self._highest_batch[table])
        return alerts

    def _deliver(self, sink: Sink, outbox: Outbox, ignore_backoff: bool) -> Iterator[Row]:
        now = self._now()
        if withheld := outbox.withhold(now, lambda alert: self._withholding.reason(alert, now)):
            self._tables.append("deliveries", withheld)
            yield from withheld
        due = outbox.due(now, ignore_backoff=ignore_backoff)
        heads = self._heads() if due else None
        due = [{**alert, "audit_heads": heads, "told_at": self._told_at(sink, alert, now)} for alert in due]
        for portion in sink.chunks(due):
            claims = outbox.claim(portion, self._now(), heads)
            self._tables.append("deliveries", claims)
            outcomes: list[Row] = []
            stopped: DeliveryError | None = None
            for part, result in _send(sink, portion):
                if isinstance(result, DeliveryError):
                    outcomes += self._not_taken(sink, outbox, part, result)
                    stopped = stopped or (None if result.content else result)
                else:
                    outcomes += outbox.sent(part, self._now(), result)
            self._tables.append("deliveries", outcomes)
            yield from outcomes
            if stopped is not None:
                outbox.hold(portion, self._now(), stopped.retry_after_seconds)
                return

    def _told_at(self, sink: Sink, alert: Alert, now: datetime) -> datetime | None:
        """When it is told, if that is long after it was decided: what looks back two days has to find it as of now.

        What follows in the same incident must not seem older, or what it replaces would outlast it.
        """
        decided: datetime | None = alert.get("decided_time")
        if decided is None:
            return None
        incident = (sink.name, alert["incident_id"])
        late = (now - decided).total_seconds() >= self._repeat_seconds
        overtaken = incident in self._last_told and decided <= self._last_told[incident]
        if not (late or overtaken):
            return None
        self._last_told[incident] = now
        return now

    def _heads(self) -> str | None:
        try:
            found = self._audit_heads()
        except OutsideError as error:
            # An audit table that cannot be read must not keep an alert back.
            _log.warning("alerts leave without the heads of the audit chains: %s", error)
            return None
        return write_heads(found) if found else None

    def _not_taken(self, sink: Sink, outbox: Outbox, alerts: Sequence[Alert], error: DeliveryError) -> list[Row]:
        detail = str(error)[:_DETAIL_LENGTH]
        if error.content:
            rows = outbox.refused(alerts, self._now(), detail)
        else:
            rows = outbox.failed(alerts, self._now(), detail, error.retry_after_seconds)
        dead = [row for row in rows if row["state"] == DeliveryState.DEAD]
        if dead:
            self._record_given_up(sink, dead, error)
            names = [row["alert_id"] for row in dead]
            _log.error(
                "gave up sending %d alerts to %s, they stay in the table alerts: %s", len(dead), sink.name, names
            )
        _log.warning("%d alerts did not reach %s: %s", len(alerts), sink.name, error)
        return rows

    def _record_given_up(self, sink: Sink, dead: Sequence[Row], error: DeliveryError) -> None:
        if self._trail is None:
            return
        for row in dead:
            self._trail.put(
                actor="the dispatcher",
                action="alert.deliver",
                subject=f"alert {row['alert_id']}",
                decision="given up",
                reason=str(error),
                evidence={"sink": sink.name, "attempts": row["attempt"]},
            )


def _send(sink: Sink, alerts: list[Alert]) -> Iterator[tuple[list[Alert], str | DeliveryError]]:
    """Send a portion; if its content is refused, halve it until the alert that spoils it stands alone.

    Once the sink cannot be reached, what is left of the portion is not tried: it would overtake what just failed.
    """
    left = [alerts]
    while left:
        part = left.pop()
        try:
            yield part, _sent(sink, part)
        except DeliveryError as error:
            if not error.content:
                yield [alert for later in reversed([*left, part]) for alert in later], error
                return
            if len(part) == 1:
                yield part, error
                continue
            middle = len(part) // 2
            left += [part[middle:], part[:middle]]


def _sent(sink: Sink, alerts: list[Alert]) -> str:
    try:
        return sink.send(alerts)
    except DeliveryError:
        raise
    except Exception as error:  # whatever a library raises, the attempt has failed, and the next one has to wait
        msg = f"the sink {sink.name} failed: {type(error).__name__}: {error}"
        raise DeliveryError(msg) from error
