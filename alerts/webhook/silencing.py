"""What a person does not want to hear of, from a signed call to the table ``silences``. Edge: owns that table."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.alerts.webhook.call import LONGEST_NAME, CallError, read_object, short_text
from pegel.schemas.policy import AlertState
from pegel.schemas.silences import ANY, LONGEST, Wish, silences_in
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables, Row

WISH_TYPE = "pegel.silence"
TABLE = "silences"

_NAME = re.compile(r"[0-9a-f]{16}")
_MIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for.

    Attributes:
        wish: what.
        silence_id: 16 hexadecimal digits that the caller made up, so that a copy of the call asks for nothing new; to
            end a silence, its name.
        by: the name that the person gives.
        reason: why, in words.
        seconds: how long a silence lasts.
        model: of which model, or ``"*"``.
        rule: of which rule, or ``"*"``.
        incident_id: which incident is acknowledged.
    """

    wish: Wish
    silence_id: str
    by: str
    reason: str
    seconds: float = 0.0
    model: str = ANY
    rule: str = ANY
    incident_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """202 if it is new, 200 if it was known, 409 if there is nothing of that name; and why, in words."""

    status: int
    outcome: str
    detail: str


def parse_wish(body: bytes) -> Asked:
    """Read a wish, as ``pegel silence`` and ``pegel ack`` send it.

    Raises:
        CallError: if it is none, or lacks what it needs; the message says what.

    Example:
        >>> said = b'{"wish": "end", "silence_id": "00112233445566aa", "by": "Ada", "reason": "test is over"}'
        >>> parse_wish(b'{"type": "pegel.silence", "data": ' + said + b'}').wish.value
        'end'
    """
    data = read_object(body, WISH_TYPE)
    text = {name: short_text(data, name, "data") for name in ("wish", "silence_id", "by", "reason")}
    if text["wish"] not in set(Wish):
        raise CallError(f"data.wish is none of {', '.join(Wish)}")
    if not _NAME.fullmatch(text["silence_id"]):
        raise CallError("data.silence_id is not 16 hexadecimal digits")
    if not text["by"].isprintable() or len(text["by"]) > LONGEST_NAME:
        raise CallError(f"data.by is no name of at most {LONGEST_NAME} printable characters")
    wish = Wish(text["wish"])
    asked = (wish, text["silence_id"], text["by"], text["reason"])
    if wish is Wish.ACKNOWLEDGE:
        return Asked(*asked, incident_id=short_text(data, "incident_id", "data"))
    if wish is Wish.END:
        return Asked(*asked)
    seconds = data.get("seconds")
    longest = LONGEST.total_seconds()
    # True is an int in Python, and NaN is between no two numbers.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not _MIN_SECONDS <= seconds <= longest:
        raise CallError(f"data.seconds is no number from {_MIN_SECONDS:.0f} to {longest:.0f}")
    return Asked(*asked, float(seconds), short_text(data, "model", "data"), short_text(data, "rule", "data"))


class Silencing:
    """Keeps what was asked for.

    Args:
        tables: where ``alerts`` is read and ``silences`` is written; no other process writes the latter.
        trail: where it is recorded first.
        now: the clock.
    """

    def __init__(
        self,
        tables: DeltaTables,
        trail: AuditTrail | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tables = tables
        self._trail = trail
        self._now = now
        self._lock = threading.Lock()

    def take(self, asked: Asked) -> Answer:
        """Do what is asked, once.

        Raises:
            OutsideError: if a table cannot be read or written; nothing is promised then, and the call has to come back.
        """
        with self._lock:
            now = self._now()
            rows = self._tables.read(TABLE)
            refused = self._why_not(asked, rows, now)
            if refused is not None:
                return refused
            until = now + timedelta(seconds=asked.seconds) if asked.wish is Wish.SILENCE else None
            detail = _said(asked, until)
            self._record(asked, detail)
            self._tables.append(TABLE, [_row(asked, now, until)])
        return Answer(202, "stored", detail)

    def _why_not(self, asked: Asked, rows: list[Row], now: datetime) -> Answer | None:
        same = [row for row in rows if row["silence_id"] == asked.silence_id]
        if any(row["wish"] == asked.wish for row in same):
            return Answer(200, "duplicate", "this was asked for before")
        if asked.wish is Wish.END and not any(s.until > now for s in silences_in(same)):
            return Answer(409, "ignored", "no silence of this name lasts")
        if asked.wish is Wish.ACKNOWLEDGE:
            if any(row["incident_id"] == asked.incident_id for row in rows):
                return Answer(200, "duplicate", "this incident is acknowledged already")
            return self._not_open(str(asked.incident_id))
        return None

    def _not_open(self, incident_id: str) -> Answer | None:
        asked = "SELECT incident_id, sequence, state FROM t"
        alerts = [row for name in ("alerts", "pipeline_alerts") for row in self._tables.read(name, asked)]
        mine = [row for row in alerts if row["incident_id"] == incident_id]
        if not mine:
            return Answer(409, "ignored", "no incident of this id is known")
        state = max(mine, key=lambda row: row["sequence"])["state"]
        if state in (AlertState.OPENED, AlertState.CONFIRMED):
            return None
        return Answer(409, "ignored", f"the incident is {state}, and nobody is told of it again")

    def _record(self, asked: Asked, detail: str) -> None:
        if self._trail is not None:
            subject = f"incident {asked.incident_id}" if asked.incident_id else f"silence {asked.silence_id}"
            self._trail.record(
                actor="a person with an approver's secret", action=f"alert.{asked.wish}", subject=subject,
                decision="taken", reason=detail,
                evidence={"model": asked.model, "rule": asked.rule, "seconds": asked.seconds, "why": asked.reason},
            )  # fmt: skip


def _said(asked: Asked, until: datetime | None) -> str:
    if asked.wish is Wish.ACKNOWLEDGE:
        return f"acknowledged by {asked.by}"
    if until is None:
        return f"silence {asked.silence_id} is ended by {asked.by}"
    return f"silence {asked.silence_id} until {until:%Y-%m-%d %H:%M:%S} UTC by {asked.by}"


def _row(asked: Asked, now: datetime, until: datetime | None) -> Row:
    return {
        "silence_id": asked.silence_id,
        "wish": asked.wish.value,
        "at": now,
        "until": until,
        "model": asked.model if asked.wish is Wish.SILENCE else None,
        "rule": asked.rule if asked.wish is Wish.SILENCE else None,
        "incident_id": asked.incident_id,
        "by": asked.by,
        "reason": asked.reason,
    }
