"""Everything that the page shows, in one record. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.dashboard.views.changes import Change, changes
from pegel.dashboard.views.charts import Charts, charts
from pegel.dashboard.views.deliveries import SinkState, deliveries
from pegel.dashboard.views.headline import Headline, headline
from pegel.dashboard.views.health import ModelHealth, model_health
from pegel.dashboard.views.incidents import Incident, incidents
from pegel.dashboard.views.pipeline import Pipeline, pipeline
from pegel.dashboard.views.scope import Scope

Row = dict[str, Any]


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
    rows: Mapping[str, Sequence[Row]], scope: Scope, *, read_at: datetime | None = None, problem: str = ""
) -> Overview:
    """The page of these rows, which go by the names of ``dashboard.extracts``; a name that is missing has no rows."""
    every = {name: rows.get(name, ()) for name in _NAMES}
    found = incidents(every, scope.start)
    healths = model_health(every, found, scope.now, scope.stale_seconds)
    sinks = deliveries(every, scope)
    pipe = pipeline(every, sinks, scope)
    return Overview(
        as_of=scope.now,
        read_at=read_at,
        problem=problem,
        hours=scope.hours,
        headline=headline(healths, found, pipe, problem, read_at),
        models=healths,
        incidents=found,
        pipeline=pipe,
        sinks=sinks,
        changes=changes(every, scope.start),
        charts=charts(every, found, scope),
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
