"""The health strip: what each model does now. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel.dashboard.views.incidents import Incident
from pegel.dashboard.views.intervals import Share, finite, newest, share
from pegel.dashboard.views.words import Level, visible
from pegel.schemas import partials

Row = dict[str, Any]

RATE_SECONDS = 60
QUALITY_SECONDS = 600
SPARK_POINTS = 60


@dataclass(frozen=True, slots=True)
class Judged:
    """The newest arrival block's verdict.

    Attributes:
        column: the column or rate nearest to its mark, or furthest beyond it.
        share: its statistic over its threshold; 1 is the mark.
        effect: size of the shift in baseline standard deviations.
        n: events in the pooled blocks.
        at: enqueued time of the block's newest event.
        calibrated: whether the mark keeps the false-alarm budget.
        columns: how many columns and rates were judged.
    """

    column: str
    share: float
    effect: float | None
    n: int
    at: datetime
    calibrated: bool
    columns: int


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """One model, as the tables know it.

    Attributes:
        champion: the version that was promoted last, or the newest that sends events.
        promoted_at: when; None if nobody recorded a promotion.
        versions: every version seen in the last minutes of data, newest first.
        per_second: events per second over the last full minute of data, with n.
        newest: enqueued time of its newest event.
        errors: share of failed calls in that minute.
        accuracy: of the labelled predictions in the ten minutes up to the newest window that has labels.
        completeness: labelled predictions over predictions in the same minutes.
        spark: events per second, oldest first, one number a base window.
    """

    model: str
    level: Level
    says: str
    champion: str
    promoted_at: datetime | None
    versions: tuple[str, ...]
    per_second: float | None
    events: int
    newest: datetime | None
    errors: Share
    accuracy: Share
    completeness: Share
    judged: Judged | None
    baseline_at: datetime | None
    spark: tuple[float, ...]


def model_health(
    rows: Mapping[str, Sequence[Row]], incidents: Sequence[Incident], now: datetime, stale_seconds: float
) -> tuple[ModelHealth, ...]:
    """Every model that sent events within the hours shown or has a champion, by name."""
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in rows["counts"]:
        by_model[row["model"]].append(row)
    for row in rows["promotions"]:
        by_model.setdefault(row["model"], [])
    healths = (_one(model, by_model[model], rows, now, stale_seconds) for model in sorted(by_model))
    return tuple(_with_incident(health, incidents) for health in healths)


def _one(
    model: str, counts: Sequence[Row], rows: Mapping[str, Sequence[Row]], now: datetime, stale_seconds: float
) -> ModelHealth:
    promotion = max((r for r in rows["promotions"] if r["model"] == model), key=lambda r: r["at"], default=None)
    last = newest(r["newest"] for r in counts)
    champion = promotion["new_version"] if promotion else _newest_version(counts)
    end = _filled_until(counts, last)
    minute = [r for r in counts if end and end - timedelta(seconds=RATE_SECONDS) <= r["window_start"] < end]
    events = _sum(minute, partials.EVENTS)
    span = (end - min(r["window_start"] for r in minute)).total_seconds() if end and minute else 0
    recent = _labelled(counts)
    labelled = _sum(recent, partials.LABELLED)
    label_time = max((r["window_start"] for r in recent), default=None)
    baseline = _baseline(model, champion, rows["baselines"])
    judged = _judged(model, rows["blocks"])
    level, says = _level(last, now, stale_seconds, baseline is not None)
    return ModelHealth(
        model=visible(model),
        level=level,
        says=says,
        champion=visible(champion),
        promoted_at=promotion["at"] if promotion else None,
        versions=_versions(counts, end),
        per_second=events / span if span else None,
        events=events,
        newest=last,
        errors=share(_sum(minute, partials.ERRORS), events, end),
        accuracy=share(_sum(recent, partials.CORRECT), labelled, label_time),
        completeness=share(labelled, _sum(recent, partials.EVENTS), label_time),
        judged=judged,
        baseline_at=baseline,
        spark=_spark(counts),
    )


def _with_incident(health: ModelHealth, incidents: Sequence[Incident]) -> ModelHealth:
    worst = min((i for i in incidents if i.open and i.model == health.model), key=lambda i: i.level.rank, default=None)
    if worst is None or health.level.rank < worst.level.rank:
        return health
    return replace(health, level=worst.level, says=f"has an open incident: {worst.state}")


def _filled_until(counts: Sequence[Row], last: datetime | None) -> datetime | None:
    """Start of the window that is still filling; events from clocks that run ahead do not move it."""
    if not counts or last is None:
        return None
    length: int = min(r["window_s"] for r in counts)
    newest_start: datetime = max(r["window_start"] for r in counts)
    return min(datetime.fromtimestamp(last.timestamp() // length * length, UTC), newest_start)


def _level(last: datetime | None, now: datetime, stale_seconds: float, has_baseline: bool) -> tuple[Level, str]:
    if last is None:
        return Level.UNKNOWN, "sent no events in the hours shown"
    if (now - last).total_seconds() > stale_seconds:
        return Level.WATCH, "sends no events now"
    if not has_baseline:
        return Level.WATCH, "has no baseline, so drift is not judged"
    return Level.OK, "sends events and is judged"


def _judged(model: str, blocks: Sequence[Row]) -> Judged | None:
    mine = [b for b in blocks if b["model"] == model and (b["verdicts"] or b.get("rates"))]
    if not mine:
        return None
    block = max(mine, key=lambda b: (b["last_enqueued"], b["block_no"]))
    # Rows of older versions have no rates.
    verdicts = [*block["verdicts"], *(block.get("rates") or ())]
    ratios = [(v["statistic"] / v["threshold"], v) for v in verdicts if _comparable(v)]
    if not ratios:
        return None
    ratio, verdict = max(ratios, key=lambda pair: pair[0])
    return Judged(
        column=visible(verdict["column"]),
        share=ratio,
        effect=finite(verdict["effect"]),
        n=verdict["n"],
        at=block["last_enqueued"],
        calibrated=bool(verdict["calibrated"]),
        columns=len(ratios),
    )


def _comparable(verdict: Row) -> bool:
    statistic, threshold = finite(verdict["statistic"]), finite(verdict["threshold"])
    return statistic is not None and threshold is not None and threshold > 0


def _sum(counts: Sequence[Row], name: str) -> int:
    return sum(row[name] for row in counts)


def _labelled(counts: Sequence[Row]) -> list[Row]:
    """The windows of the last minutes that have labels; labels of days ago must not hide what is wrong now."""
    last = max((r["window_start"] for r in counts if r[partials.LABELLED]), default=None)
    if last is None:
        return []
    return [r for r in counts if last - timedelta(seconds=QUALITY_SECONDS) < r["window_start"] <= last]


def _newest_version(counts: Sequence[Row]) -> str:
    return max(counts, key=lambda r: (r["window_start"], r["newest"] or r["window_start"]))["version"] if counts else ""


def _versions(counts: Sequence[Row], end: datetime | None) -> tuple[str, ...]:
    if end is None:
        return ()
    last: dict[str, datetime] = {}
    for row in counts:
        if row["window_start"] >= end - timedelta(seconds=5 * RATE_SECONDS):
            last[row["version"]] = max(row["window_start"], last.get(row["version"], row["window_start"]))
    return tuple(visible(v) for v in sorted(last, key=lambda v: last[v], reverse=True))


def _baseline(model: str, version: str, baselines: Sequence[Row]) -> datetime | None:
    return newest(b["created_at"] for b in baselines if b["model"] == model and b["version"] == version)


def _spark(counts: Sequence[Row]) -> tuple[float, ...]:
    length = min((r["window_s"] for r in counts), default=1)
    end = _filled_until(counts, newest(r["newest"] for r in counts))
    if end is None:
        return ()
    per_window: dict[int, int] = defaultdict(int)
    for row in counts:
        back = int((end - row["window_start"]).total_seconds() // length)
        if 0 < back <= SPARK_POINTS:
            per_window[back] += row[partials.EVENTS]
    oldest = max(per_window, default=0)
    return tuple(per_window.get(back, 0) / length for back in range(oldest, 0, -1))
