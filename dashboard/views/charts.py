"""Lines over time for the charts: drift by column, quality by version, and the marks on them. Pure.

Times are milliseconds since 1970 in UTC. A gap between windows is a point without a value, so no line is drawn over it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.dashboard.views.incidents import Incident
from pegel.dashboard.views.intervals import finite
from pegel.dashboard.views.scope import Scope
from pegel.dashboard.views.words import visible
from pegel.schemas import metric_names

Row = dict[str, Any]
Numbers = tuple[float | None, ...]

EFFECT = "effect"

MOST_COLUMNS = 24
MOST_POINTS = 800
"""Longer series are told by the longer windows; of a series that is longer still, the newest points are kept."""

_LABELS_S = 60
_DIGITS = 4
_GAP = 1.5


@dataclass(frozen=True, slots=True)
class Line:
    """One version's numbers for one column: parallel series of the same length."""

    version: str
    t: tuple[int, ...]
    n: tuple[int | None, ...]
    series: dict[str, Numbers]


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One column of the drift chart; the columns with the largest effect in the time shown come first."""

    column: str
    lines: tuple[Line, ...]
    incidents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the time axis: a version took over, drift began, or an incident closed."""

    t: int
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Band:
    """From the onset of an incident to its end; ``end`` is None while it is open."""

    incident_id: str
    start: int
    end: int | None
    columns: tuple[str, ...]
    state: str


@dataclass(frozen=True, slots=True)
class Charts:
    """All that is drawn for one model and one length of window."""

    model: str
    models: tuple[str, ...]
    window_s: int
    windows: tuple[int, ...]
    quality_window_s: int
    start: int
    end: int
    drift: tuple[DriftRow, ...]
    hidden_columns: int
    quality: tuple[Line, ...]
    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]


def charts(rows: Mapping[str, Sequence[Row]], incidents: Sequence[Incident], scope: Scope) -> Charts:
    """The charts of the chosen model: by default the one with the worst open incident, else the first."""
    finals = newest_revisions([*rows["metrics"], *rows["metrics_fine"]])
    models = sorted({r["model"] for r in finals})
    model = _choose(scope.model, models, incidents)
    about = [i for i in incidents if i.model == visible(model)]
    mine = [r for r in finals if r["model"] == model]
    window_s = scope.window_s if scope.window_s in scope.windows else _telling(mine, about, scope)
    start = scope.fine_start if window_s == min(scope.windows) else scope.start
    mine = [r for r in mine if r["window_start"] >= start]
    drift = _drift([r for r in mine if r["metric"] in metric_names.DRIFT and r["window_s"] == window_s], about)
    # A short window holds too few labels to say anything.
    quality_s = next((s for s in sorted(scope.windows) if s >= max(_LABELS_S, window_s)), max(scope.windows))
    quality = [r for r in mine if r["metric"] == metric_names.ACCURACY and r["window_s"] == quality_s]
    return Charts(
        model=visible(model),
        models=tuple(visible(m) for m in models),
        window_s=window_s,
        windows=tuple(sorted(scope.windows)),
        quality_window_s=quality_s,
        start=_ms(max(start, min((r["window_start"] for r in mine), default=start))),
        end=_ms(scope.now),
        drift=tuple(drift[:MOST_COLUMNS]),
        hidden_columns=max(0, len(drift) - MOST_COLUMNS),
        quality=_lines(quality, _quality_series),
        marks=_marks(model, rows["promotions"], about, start),
        bands=tuple(_band(i) for i in about if i.open or i.changed_at >= start),
    )


def _telling(metrics: Sequence[Row], incidents: Sequence[Incident], scope: Scope) -> int:
    """The second shortest windows; the shortest where trouble is young or longer ones are not final yet."""
    shortest, *longer = sorted(scope.windows)
    if not longer or all(r["window_s"] == shortest for r in metrics):
        return shortest
    return shortest if any(i.open and i.since >= scope.fine_start for i in incidents) else longer[0]


def newest_revisions(metrics: Sequence[Row]) -> list[Row]:
    """Of every number of a window its newest revision."""
    newest: dict[tuple[Any, ...], Row] = {}
    for row in metrics:
        key = tuple(row[name] for name in ("model", "version", "column", "metric", "window_start", "window_s"))
        if key not in newest or row["revision"] >= newest[key]["revision"]:
            newest[key] = row
    return list(newest.values())


def _choose(model: str | None, models: Sequence[str], incidents: Sequence[Incident]) -> str:
    if model is not None:
        for name in models:
            if visible(name) == model:
                return name
    troubled = next((name for i in incidents if i.open for name in models if visible(name) == i.model), None)
    return troubled or (models[0] if models else "")


def _drift(metrics: Sequence[Row], incidents: Sequence[Incident]) -> list[DriftRow]:
    by_column: dict[str, list[Row]] = defaultdict(list)
    for row in metrics:
        by_column[row["column"]].append(row)
    found = []
    for column, mine in by_column.items():
        name = visible(column)
        ids = tuple(i.incident_id for i in incidents if name in i.columns)
        found.append(DriftRow(name, _lines(mine, _drift_series), ids))
    return sorted(found, key=lambda r: (-_largest_effect(r), r.column))


def _largest_effect(row: DriftRow) -> float:
    return max((v for line in row.lines for v in line.series[EFFECT] if v is not None), default=-1.0)


def _lines(metrics: Sequence[Row], series: Callable[[Sequence[Row]], dict[str, float | None]]) -> tuple[Line, ...]:
    by_version: dict[str, dict[datetime, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in metrics:
        by_version[row["version"]][row["window_start"]].append(row)
    lines = [_line(version, windows, series) for version, windows in by_version.items()]
    return tuple(sorted(lines, key=lambda line: line.t[0]))


def _line(
    version: str,
    windows: Mapping[datetime, Sequence[Row]],
    series: Callable[[Sequence[Row]], dict[str, float | None]],
) -> Line:
    t: list[int] = []
    n: list[int | None] = []
    points: list[dict[str, float | None]] = []
    for start in sorted(windows)[-MOST_POINTS:]:
        moment, window_s = _ms(start), windows[start][0]["window_s"]
        if t and moment - t[-1] > _GAP * 1000 * window_s:
            t.append(t[-1] + 1000 * window_s)
            n.append(None)
            points.append({})
        t.append(moment)
        n.append(max(r["n"] for r in windows[start]))
        points.append(series(windows[start]))
    names = sorted({name for point in points for name in point})
    return Line(visible(version), tuple(t), tuple(n), {k: tuple(p.get(k) for p in points) for k in names})


def _drift_series(rows: Sequence[Row]) -> dict[str, float | None]:
    values = {r["metric"]: _short(r["value"]) for r in rows}
    effects = {r["metric"]: _short(r["effect"]) for r in rows}
    return {
        # Every column has a PSI. The largest of several effects would stand above 0 by chance alone.
        EFFECT: effects.get(metric_names.PSI),
        metric_names.PSI: values.get(metric_names.PSI),
        metric_names.JENSEN_SHANNON: values.get(metric_names.JENSEN_SHANNON),
    }


def _quality_series(rows: Sequence[Row]) -> dict[str, float | None]:
    row = rows[0]
    names = ("value", "lower", "upper", "label_completeness")
    return {name: _short(row[name]) for name in names}


def _marks(model: str, promotions: Sequence[Row], incidents: Sequence[Incident], start: datetime) -> tuple[Mark, ...]:
    marks = [
        Mark(_ms(r["at"]), "version", f"version {visible(r['new_version'])}")
        for r in promotions
        if r["model"] == model and r["at"] >= start
    ]
    marks += [Mark(_ms(i.since), "onset", "drift begins") for i in incidents if i.since >= start]
    marks += [Mark(_ms(i.changed_at), "closed", i.state) for i in incidents if not i.open and i.changed_at >= start]
    return tuple(sorted(marks, key=lambda m: (m.t, m.kind)))


def _band(incident: Incident) -> Band:
    end = None if incident.open else _ms(incident.changed_at)
    return Band(incident.incident_id, _ms(incident.since), end, incident.columns, incident.state)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _short(value: float | None) -> float | None:
    """Enough digits to draw."""
    number = finite(value)
    return None if number is None else float(f"{number:.{_DIGITS}g}")
