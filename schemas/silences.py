"""What a person does not want to hear of: silences and acknowledgements, as the table ``silences`` keeps them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeGuard

ANY = "*"
"""Stands for every model, or every rule."""

LONGEST = timedelta(days=30)
"""No silence is longer: what nobody wants to hear of for good is taken out of the policy."""


class Wish(StrEnum):
    """What a row of ``silences`` says: a silence begins or is ended early, or an incident is acknowledged."""

    SILENCE = "silence"
    END = "end"
    ACKNOWLEDGE = "acknowledge"


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts of a model and a rule are not sent for some time.

    Attributes:
        silence_id: its name.
        model: of which model; ``"*"`` for all, and for the pipeline itself only that.
        rule: of which rule; ``"*"`` for all.
        begins: from then on.
        until: before then, unless it was ended earlier.
        by: who asked for it.
        reason: why, in words.
    """

    silence_id: str
    model: str
    rule: str
    begins: datetime
    until: datetime
    by: str
    reason: str

    def covers(self, alert: Mapping[str, Any], now: datetime) -> bool:
        """Whether an alert is not sent at this moment because of it."""
        return (
            self.begins <= now < self.until
            and self.model in (ANY, alert["model"])
            and self.rule in (ANY, alert["rule"])
        )


def silences_in(rows: Iterable[Mapping[str, Any]]) -> tuple[Silence, ...]:
    """The silences of the table, in the order of their beginnings; one that was ended early ends then.

    Whatever wrote the table, no silence is longer than :data:`LONGEST`. A row that lacks what a silence needs is none:
    when in doubt, alerts are sent.

    Example:
        >>> from datetime import UTC
        >>> at = lambda hour: datetime(2026, 11, 28, hour, tzinfo=UTC)
        >>> row = {"silence_id": "s1", "wish": "silence", "at": at(1), "until": at(9), "model": "assistant"}
        >>> begun = row | {"rule": "*", "by": "Ada", "reason": "load test"}
        >>> ended = {"silence_id": "s1", "wish": "end", "at": at(3)}
        >>> [(silence.silence_id, silence.until.hour) for silence in silences_in([begun, ended])]
        [('s1', 3)]
    """
    found: dict[str, Silence] = {}
    ended: dict[str, datetime] = {}
    for row in rows:
        name, at = row.get("silence_id"), row.get("at")
        if not (isinstance(name, str) and _is_time(at)):
            continue
        if row["wish"] == Wish.SILENCE and _is_whole(row):
            until = at + min(row["until"] - at, LONGEST)
            found[name] = Silence(name, row["model"], row["rule"], at, until, row["by"], row.get("reason") or "")
        elif row["wish"] == Wish.END:
            ended[name] = min(at, ended.get(name, at))
    cut = (replace(s, until=min(s.until, ended.get(name, s.until))) for name, s in found.items())
    return tuple(sorted(cut, key=lambda silence: (silence.begins, silence.silence_id)))


def acknowledged_in(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Incident -> who acknowledged it first; a row that lacks the incident, the person or the time is none."""
    acknowledged = [row for row in rows if row["wish"] == Wish.ACKNOWLEDGE and _is_time(row.get("at"))]
    found: dict[str, str] = {}
    for row in sorted(acknowledged, key=lambda row: row["at"]):
        if not (isinstance(row.get("incident_id"), str) and isinstance(row.get("by"), str)):
            continue
        found.setdefault(row["incident_id"], row["by"])
    return found


def _is_whole(row: Mapping[str, Any]) -> bool:
    texts = (row.get(name) for name in ("model", "rule", "by"))
    return _is_time(row.get("until")) and all(isinstance(text, str) for text in texts)


def _is_time(value: Any) -> TypeGuard[datetime]:
    return isinstance(value, datetime) and value.tzinfo is not None
