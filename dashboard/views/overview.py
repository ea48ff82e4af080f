"""Everything that the page shows, in one record. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pegel.dashboard.views.changes import Change, changes
from pegel.dashboard.views.charts import Charts, charts
from pegel.dashboard.views.deliveries import SinkState, deliveries
from pegel.dashboard.views.headline import Headline, headline
from pegel.dashboard.views.health import ModelHealth, model_health
from pegel.dashboard.views.incidents import Incident, incidents
from pegel.dashboard.views.pipeline import Pipeline, pipeline

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a page is asked to show.

    Attributes:
        hours: how far back.
        fine_hours: how far back the shortest windows go.
        stale_seconds: after how long without news something counts as standing still.
        lag_seconds: how far behind the hub a batch may be.
        windows: lengths of the windows that can be chosen, in seconds.
        sinks: where alerts are delivered to.
    """

    hours: float
    fine_hours: float
    stale_seconds: float
    lag_seconds: float
    windows: tuple[int, ...]
    sinks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The page.

    Attributes:
        as_of: the moment it tells of.
        read_at: when the tables were last read with success.
        problem: why they could not be read just now, or ''.
    """

    as_of: datetime
    read_at: datetime | None
    problem: str
    hours: float
    headline: Headline
    models: tuple[ModelHealth, ...]
    incidents: tuple[Incident, ...]
    pipeline: Pipeline
    sinks: tuple[SinkState, ...]
    changes: tuple[Change, ...]
    charts: Charts


def build_overview(
    rows: Mapping[str, Sequence[Row]],
    scope: Scope,
    now: datetime,
    *,
    read_at: datetime | None = None,
    problem: str = "",
    window_s: int = 0,
    model: str | None = None,
) -> Overview:
    """The page as of ``now``.

    ``rows`` go by the names of ``dashboard.extracts``; a name that is missing stands for no rows. A ``window_s`` that
    cannot be chosen stands for the second shortest, and a ``model`` that is not there for the one in trouble.
    """
    every = {name: rows.get(name, ()) for name in _NAMES}
    start = now - timedelta(hours=scope.hours)
    found = incidents(every, start)
    healths = model_health(every, found, now, scope.stale_seconds)
    sinks = deliveries(every, scope.sinks, now, scope.stale_seconds)
    pipe = pipeline(
        every, sinks, start=start, now=now, stale_seconds=scope.stale_seconds, lag_seconds=scope.lag_seconds
    )
    windows = tuple(sorted(scope.windows))
    return Overview(
        as_of=now,
        read_at=read_at,
        problem=problem,
        hours=scope.hours,
        headline=headline(healths, found, pipe, problem, read_at),
        models=healths,
        incidents=found,
        pipeline=pipe,
        sinks=sinks,
        changes=changes(every, start),
        charts=charts(
            every,
            found,
            model=model,
            window_s=window_s if window_s in windows else windows[min(1, len(windows) - 1)],
            windows=windows,
            hours=scope.hours,
            fine_hours=scope.fine_hours,
            now=now,
        ),
    )


_NAMES = (
    "batches",
    "counts",
    "metrics",
    "metrics_fine",
    "dead_letters",
    "blocks",
    "alerts",
    "deliveries",
    "webhook_calls",
    "retrainings",
    "promotions",
    "baselines",
)
