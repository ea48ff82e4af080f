"""The pipeline's own counts, and the checks that it must pass. Pure.

In every micro-batch received = stored + dead letters + duplicates, for each hub, and stored = counted in partials.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.dashboard.views.deliveries import SinkState
from pegel.dashboard.views.intervals import newest, percentile
from pegel.dashboard.views.scope import Scope
from pegel.dashboard.views.words import Level, visible

Row = dict[str, Any]

_SURE = 5
"""Silence is suspicious after ``stale_seconds``, and after so many times that it is a fault until someone looks."""

_TOLD = 3
"""How many batches are named where counts do not add up."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What came in by one hub in the hours shown, and what became of it. ``gap`` is what is missing: 0, or a fault."""

    hub: str
    received: int
    stored: int
    dead_letters: int
    duplicates: int
    gap: int


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold.

    Attributes:
        says: what is the case, in one sentence.
        n: on how many batches or records it rests.
        at: as of when.
        todo: what a person does if it does not hold, else ''.
        runbook: the page about it, or ''.
    """

    name: str
    level: Level
    says: str
    n: int
    at: datetime | None
    todo: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Dead letters of one reason and hub."""

    reason: str
    hub: str
    n: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The pipeline's own accounts.

    Attributes:
        level: the worst of the checks.
        lag: seconds from the hub to the tables, for the newest event of the last batch.
        lag_p95: the same, 95th percentile of the batches shown.
        matched, unmatched: labels joined to their prediction; labels that came before it.
        spark: lag of the last batches, oldest first.
    """

    level: Level
    flows: tuple[Flow, ...]
    checks: tuple[Check, ...]
    reasons: tuple[Reason, ...]
    batches: int
    last_commit: datetime | None
    lag: float | None
    lag_p95: float | None
    matched: int
    unmatched: int
    code_version: str
    spark: tuple[float, ...]


def pipeline(rows: Mapping[str, Sequence[Row]], sinks: Sequence[SinkState], scope: Scope) -> Pipeline:
    """The accounts of all batches in the hours shown."""
    every = sorted(rows["batches"], key=lambda r: r["batch_id"])
    batches = [r for r in every if r["committed_at"] >= scope.start]
    last = every[-1] if every else None
    lags = [lag for lag in map(_lag, batches) if lag is not None]
    checks = (
        _alive(last, len(batches), scope),
        _adds_up(batches),
        _counted(batches),
        _fresh(lags, batches, scope.lag_seconds),
        _delivered(sinks),
    )
    return Pipeline(
        level=min((c.level for c in checks), key=lambda level: level.rank),
        flows=(
            _flow("predictions", batches, ""),
            _flow("feedback", batches, "feedback_"),
        ),
        checks=checks,
        reasons=_reasons(rows["dead_letters"], scope.start),
        batches=len(batches),
        last_commit=last["committed_at"] if last else None,
        lag=_lag(last) if last else None,
        lag_p95=percentile(lags, 0.95),
        matched=sum(r["matched"] or 0 for r in batches),
        unmatched=sum(r["unmatched"] or 0 for r in batches),
        code_version=visible(last["code_version"]) if last else "",
        spark=tuple(lags[-60:]),
    )


def _flow(hub: str, batches: Sequence[Row], prefix: str) -> Flow:
    received, stored, dead, again = (
        sum(r[prefix + name] for r in batches) for name in ("received", "stored", "dead_letters", "duplicates")
    )
    return Flow(hub, received, stored, dead, again, received - stored - dead - again)


def _lag(batch: Row) -> float | None:
    taken = newest(o["last_enqueued"] for o in batch["offsets"] or ())
    if taken is None or batch["committed_at"] is None:
        return None
    return max(0.0, float((batch["committed_at"] - taken).total_seconds()))


def _alive(last: Row | None, n: int, scope: Scope) -> Check:
    name = "Batches are committed"
    if last is None:
        return Check(name, Level.UNKNOWN, "No batch yet.", 0, None, "Start the stream: `pegel stream --config FILE`.")
    age = (scope.now - last["committed_at"]).total_seconds()
    if age <= scope.stale_seconds:
        return Check(name, Level.OK, "The stream is alive.", n, last["committed_at"])
    return Check(
        name,
        Level.WATCH if age <= _SURE * scope.stale_seconds else Level.BROKEN,
        "No batch has been committed for a while: the stream is down, or no events arrive.",
        n,
        last["committed_at"],
        "See whether `pegel stream` runs and what its log says; started again, it goes on where it stopped. "
        "If it runs, see whether the applications still send events.",
    )


def _adds_up(batches: Sequence[Row]) -> Check:
    name = "Counts add up"
    # Batch by batch: what one batch loses and another counts twice must not cancel out.
    bad = [r for r in batches if any(_flow("", [r], prefix).gap for prefix in ("", "feedback_"))]
    return _holds(name, batches, bad, "Every event is accounted for.", "Events are missing or counted twice")


def _counted(batches: Sequence[Row]) -> Check:
    bad = [r for r in batches if r["stored"] != r["in_partials"]]
    return _holds(
        "Stored is counted", batches, bad, "Every stored prediction is in the counts.", "The counts miss stored events"
    )


def _holds(name: str, batches: Sequence[Row], bad: Sequence[Row], good: str, evil: str) -> Check:
    at = newest(r["committed_at"] for r in batches)
    if not batches:
        return Check(name, Level.UNKNOWN, "No batch to check.", 0, at)
    if not bad:
        return Check(name, Level.OK, good, len(batches), at)
    named = ", ".join(str(r["batch_id"]) for r in bad[:_TOLD]) + (", …" if len(bad) > _TOLD else "")
    return Check(
        name,
        Level.BROKEN,
        f"{evil} in {len(bad)} of {len(batches)} batches: {named}.",
        len(batches),
        min(r["committed_at"] for r in bad),
        "Trust no number about models from there on. Stop the stream, keep its checkpoint, and compare the batches "
        "named here with their offsets.",
        "conservation.md",
    )


def _fresh(lags: Sequence[float], batches: Sequence[Row], lag_seconds: float) -> Check:
    name = "Events arrive soon"
    at = newest(r["committed_at"] for r in batches)
    if not lags:
        return Check(name, Level.UNKNOWN, "No batch to measure.", 0, at)
    if lags[-1] <= lag_seconds:
        return Check(name, Level.OK, f"The last batch was {lags[-1]:.1f} s behind the hub.", len(lags), at)
    return Check(
        name,
        Level.WATCH,
        f"The last batch was {lags[-1]:.0f} s behind the hub.",
        len(lags),
        at,
        "If it grows, the stream is too slow for the traffic: give it more cores, or raise "
        "`source.max_events_per_trigger`.",
    )


def _delivered(sinks: Sequence[SinkState]) -> Check:
    name = "Alerts leave"
    waiting, dead = sum(s.waiting for s in sinks), sum(s.dead for s in sinks)
    sent = sum(s.sent for s in sinks)
    at = newest(s.last_at for s in sinks)
    if all(s.level is Level.OK for s in sinks):
        says = f"{waiting} on the way." if waiting else "The outbox is empty."
        return Check(name, Level.OK, says, sent, at)
    oldest = min((s.oldest for s in sinks if s.oldest), default=at)
    says = f"{waiting} waiting, {dead} given up." if dead else f"{waiting} waiting for too long."
    return Check(
        name, Level.BROKEN, says, sent, oldest, "See whether `pegel deliver` runs and what the sink answers, below."
    )


def _reasons(dead_letters: Sequence[Row], start: datetime) -> tuple[Reason, ...]:
    counted: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in dead_letters:
        if row["newest"] >= start:
            counted[row["reason"], row["hub"]].append(row)
    reasons = [
        Reason(visible(reason), visible(hub), sum(r["n"] for r in mine), max(r["newest"] for r in mine))
        for (reason, hub), mine in counted.items()
    ]
    return tuple(sorted(reasons, key=lambda r: (-r.n, r.reason, r.hub)))
