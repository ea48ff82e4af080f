"""Incidents, each with what happens by itself and what a person does. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.dashboard.views.intervals import finite
from pegel.dashboard.views.words import MAX_SENTENCE, MAX_TITLE, Level, visible
from pegel.schemas.policy import Action, AlertState
from pegel.schemas.silences import acknowledged_in

Row = dict[str, Any]

PIPELINE = "*"
"""Stands for the model in incidents about the pipeline itself."""

# What happens by itself and what a person does, by what a confirmed incident asks for.
_CONFIRMED: Mapping[str, tuple[str, str]] = {
    Action.RETRAIN: (
        "A retraining is asked for through Azure Monitor and the webhook.",
        "If it is only proposed, `pegel approve` lets it start. If none has started after five minutes, look at "
        "the outbox and at the webhook below.",
    ),
    Action.NONE: (
        "It is recorded, calls nobody and retrains nothing. It closes after quiet blocks.",
        "Nothing now: its message says why. Look again when labels have come.",
    ),
    Action.PAGE: (
        "Nothing but paging. It closes after quiet blocks.",
        "Follow the runbook: no one else acts on it.",
    ),
}

_CLOSED: Mapping[str, tuple[str, str]] = {
    AlertState.RESOLVED: ("Closed. Nothing more happens.", "Nothing."),
    AlertState.RETRACTED: ("Final windows did not bear it out, so it was taken back.", "Nothing."),
}

# How far a retraining has come, for rows of the same moment.
_PROGRESS = ("started", "trained", "failed", "rejected", "promoted", "proving", "proven", "rolled_back")
_UNDER_WAY = {"started", "trained", "promoted", "proving", "proven"}


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: the state and when it was decided."""

    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as of its newest transition.

    Attributes:
        since: estimated onset in event time; where that is unknown, when it was opened.
        retraining: state of its newest retraining, or ''.
        mending: whether a retraining is under way or has just succeeded.
        happens: what happens by itself from here.
        todo: what a person does, or that nothing is to be done.
    """

    incident_id: str
    state: str
    open: bool
    level: Level
    rule: str
    model: str
    version: str
    segment: str
    column: str
    columns: tuple[str, ...]
    severity: int
    action: str
    since: datetime
    opened_at: datetime
    changed_at: datetime
    effect: float | None
    p_value: float | None
    n: int
    calibrated: bool
    title: str
    message: str
    runbook: str
    retraining: str
    mending: bool
    happens: str
    todo: str
    steps: tuple[Step, ...]


def incidents(rows: Mapping[str, Sequence[Row]], start: datetime) -> tuple[Incident, ...]:
    """Open incidents first, the worst on top; then those that closed after ``start``, the newest on top."""
    transitions: dict[str, list[Row]] = defaultdict(list)
    for row in (*rows["alerts"], *rows.get("pipeline_alerts", ())):
        transitions[row["incident_id"]].append(row)
    retrainings: dict[str, list[Row]] = defaultdict(list)
    for row in rows["retrainings"]:
        retrainings[row["incident_id"]].append(row)
    looked_after = acknowledged_in(rows.get("silences", ()))
    built = [
        _one(alerts, retrainings[incident_id], looked_after.get(incident_id))
        for incident_id, alerts in transitions.items()
    ]
    opened = [i for i in built if i.open]
    closed = [i for i in built if not i.open and i.changed_at >= start]
    opened.sort(key=lambda i: (i.level.rank, i.severity, i.since))
    closed.sort(key=lambda i: i.changed_at, reverse=True)
    return (*opened, *closed)


def _one(alerts: list[Row], retrainings: list[Row], looked_after_by: str | None) -> Incident:
    alerts.sort(key=lambda r: r["sequence"])
    first, last = alerts[0], alerts[-1]
    retraining = newest_state(retrainings)
    state = last["state"]
    # A closing transition has no evidence of its own: the numbers of the last one that had are shown.
    told = next((r for r in reversed(alerts) if r["n"]), last)
    happens, todo = _what_next(last, retraining)
    if looked_after_by is not None and state not in _CLOSED:
        happens += f" {visible(looked_after_by)} has acknowledged it and looks after it."
    return Incident(
        incident_id=visible(last["incident_id"]),
        state=visible(state),
        open=state not in _CLOSED,
        level=_level(state),
        rule=visible(last["rule"]),
        model=visible(last["model"]),
        version=visible(first["version"]),
        segment=visible(last["segment"]),
        column=visible(told["column"]),
        columns=tuple(visible(c) for c in sorted({c for r in alerts for c in (r["columns"] or ())})),
        severity=last["severity"],
        action=visible(last["action"]),
        since=last["since"] or first["since"] or first["decided_time"],
        opened_at=first["decided_time"],
        changed_at=last["decided_time"],
        effect=finite(told["effect"]),
        p_value=finite(told["p_value"]),
        n=told["n"] or 0,
        calibrated=bool(told["calibrated"]),
        title=visible(last["title"], MAX_TITLE),
        message=visible(last["message"], MAX_SENTENCE),
        runbook=visible(last["runbook"]),
        retraining=visible(retraining["state"]) if retraining else "",
        mending=retraining is not None and retraining["state"] in _UNDER_WAY,
        happens=happens,
        todo=todo,
        steps=tuple(Step(visible(r["state"]), r["decided_time"]) for r in alerts),
    )


def newest_state(retrainings: Sequence[Row]) -> Row | None:
    """The newest row of an incident's retrainings: the highest attempt, the state that it reached last."""
    return max(retrainings, key=lambda r: (r["attempt"], r["at"], _progress(r["state"])), default=None)


def _progress(state: str) -> int:
    return _PROGRESS.index(state) if state in _PROGRESS else -1


def _level(state: str) -> Level:
    if state in _CLOSED:
        return Level.OK
    return Level.BROKEN if state == AlertState.CONFIRMED else Level.WATCH


def _what_next(last: Row, retraining: Row | None) -> tuple[str, str]:
    state = last["state"]
    if state in _CLOSED:
        return _CLOSED[state]
    if retraining is not None:
        return _while_retraining(retraining)
    if (fault := last.get("inhibited_by")) is not None:
        return (
            f"It was seen while the pipeline was sick (incident {visible(fault)}), so nobody is told and nothing is "
            "retrained. It is taken back once the pipeline is well; drift that is real then opens another incident.",
            "Nothing here: look after that incident.",
        )
    if last["model"] == PIPELINE or not last["version"]:
        return (
            "It is about the pipeline and ends by itself once that is well; its message says when.",
            "Read its message and follow the runbook: no one else acts on it.",
        )
    if state == AlertState.OPENED:
        return (
            "Final windows confirm it or take it back, within a minute or two.",
            "Wait for that, unless users already complain.",
        )
    return _CONFIRMED.get(last["action"], _CONFIRMED[Action.PAGE])


def _while_retraining(row: Row) -> tuple[str, str]:
    challenger, champion = visible(row["challenger"]) or "the challenger", visible(row["champion"]) or "the champion"
    detail = visible(row["detail"], MAX_SENTENCE)
    why = f" ({detail})" if detail else ""
    watch = "Nothing yet. If this stands still for a quarter of an hour, follow the runbook."
    return {
        "started": (f"A challenger is being trained; version {champion} serves meanwhile.", watch),
        "trained": (f"Version {challenger} is trained and is compared with version {champion}.", watch),
        "promoted": (f"Version {challenger} takes over from version {champion}.", watch),
        "proving": (
            f"Version {challenger} serves and must prove itself; if it does, this closes, else version {champion} "
            "comes back.",
            watch,
        ),
        "proven": (f"Version {challenger} has proven itself; this closes with the next batch.", watch),
        "rejected": (
            f"Version {challenger} was no better, so version {champion} still serves{why}.",
            "Follow the runbook: nothing more happens by itself.",
        ),
        "rolled_back": (
            f"Version {challenger} did not prove itself, and version {champion} serves again{why}.",
            "Follow the runbook: nothing more happens by itself.",
        ),
        "failed": (
            f"The retraining failed{why}; version {champion} still serves.",
            "Follow the runbook, mend the cause, and start it again with `pegel retrain --incident ID`.",
        ),
    }.get(row["state"], ("A retraining is under way.", watch))
