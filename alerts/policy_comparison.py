"""What two policies made of the same history: incidents, how often, and which are new, gone or moved. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pegel.schemas.policy import AlertState

WEEK = timedelta(days=7)


class Change(StrEnum):
    """What becomes of an incident under the other policy."""

    NEW = "new"
    GONE = "gone"
    MOVED = "moved"
    """Both policies tell it, but not in the same micro-batch."""


@dataclass(frozen=True, slots=True)
class ToldIncident:
    """An incident as one policy tells it.

    Attributes:
        opened: when, as its row says: the decision's time.
        ended: when it was resolved or retracted; None if it was open at the end.
        state: its last one.
        confirmed: whether it was.
    """

    incident_id: str
    model: str
    rule: str
    version: str
    segment: str
    column: str
    opened: datetime
    ended: datetime | None
    state: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class ChangedIncident:
    """An incident that only one policy tells so.

    Attributes:
        change: see there.
        incident: as the new policy tells it; as the present one does if it is gone.
        later: how long later it opens under the new policy; only if it moved, and below 0 if it opens earlier.
    """

    change: Change
    incident: ToldIncident
    later: timedelta | None = None


def told_incidents(alerts: Iterable[Mapping[str, Any]]) -> list[ToldIncident]:
    """The incidents of which the opening is told, in order.

    Args:
        alerts: rows of ``alerts``, in any order.
    """
    by_incident: dict[str, list[Mapping[str, Any]]] = {}
    for row in alerts:
        by_incident.setdefault(row["incident_id"], []).append(row)
    found = []
    for rows in by_incident.values():
        ordered = sorted(rows, key=lambda row: row["sequence"])
        first, last = ordered[0], ordered[-1]
        if first["state"] != AlertState.OPENED:
            continue
        over = last["state"] in (AlertState.RESOLVED, AlertState.RETRACTED)
        found.append(
            ToldIncident(
                incident_id=first["incident_id"],
                model=first["model"],
                rule=first["rule"],
                version=first["version"],
                segment=first["segment"],
                column=first["column"],
                opened=first["decided_time"],
                ended=last["decided_time"] if over else None,
                state=last["state"],
                confirmed=any(row["state"] == AlertState.CONFIRMED for row in ordered),
            )
        )
    return sorted(found, key=lambda one: (one.opened, one.model, one.rule))


def per_week(count: int, span: timedelta) -> float:
    """How many that is in a week; a span of less than a day is taken for a day, as nothing can be said of less.

    Example:
        >>> per_week(3, timedelta(days=14)), per_week(1, timedelta(hours=2))
        (1.5, 7.0)
    """
    return count * (WEEK / max(span, timedelta(days=1)))


def by_rule(now: Sequence[ToldIncident], new: Sequence[ToldIncident]) -> list[tuple[str, str, int, int]]:
    """(model, rule, incidents now, incidents with the new policy), in order of the names."""
    counts = [Counter((one.model, one.rule) for one in told) for told in (now, new)]
    return [(*key, counts[0][key], counts[1][key]) for key in sorted(counts[0].keys() | counts[1].keys())]


def changes(now: Sequence[ToldIncident], new: Sequence[ToldIncident]) -> list[ChangedIncident]:
    """What the new policy tells otherwise.

    An incident moved if the other policy has one of the same model and rule that was open while it was.
    """
    ids = [{one.incident_id for one in told} for told in (now, new)]
    gone = [one for one in now if one.incident_id not in ids[1]]
    found = []
    for one in new:
        if one.incident_id in ids[0]:
            continue
        twin = next((other for other in gone if _overlap(one, other)), None)
        if twin is None:
            found.append(ChangedIncident(Change.NEW, one))
        else:
            gone.remove(twin)
            found.append(ChangedIncident(Change.MOVED, one, one.opened - twin.opened))
    found += [ChangedIncident(Change.GONE, one) for one in gone]
    return sorted(found, key=lambda changed: (changed.incident.opened, changed.change))


def _overlap(one: ToldIncident, other: ToldIncident) -> bool:
    if (one.model, one.rule) != (other.model, other.rule):
        return False
    return (one.ended is None or other.opened <= one.ended) and (other.ended is None or one.opened <= other.ended)
