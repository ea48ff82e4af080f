"""Group metrics as a picture: one panel a metric, one row a group, one mark a model. Edge: draws with matplotlib.

The figure is made without pyplot, so no window opens and no global state is left behind.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from pegel.lifecycle.fairness.group_metrics import MetricByGroup
from pegel.lifecycle.fairness.groups import attribute_text, group_text

MAX_PANELS = 12
MAX_GROUPS = 12
"""A picture with more is not read; ``fairness.json`` has all."""

_MAX_CHARACTERS = 28
_COLOURS = ("#8a8f98", "#1f6fb2", "#c2571a")


def draw(models: Mapping[str, Sequence[MetricByGroup]], title: str) -> Any:
    """Draw the rates of each group with their 95 % intervals.

    Args:
        models: name -> what :func:`~pegel.lifecycle.fairness.group_metrics.measure` gave, in the same order for all,
            the oldest first: champion and challenger, or before and after.
        title: what this is.

    Returns:
        a ``matplotlib.figure.Figure``. Single attributes come before intersections; of many groups those with the most
        rows are drawn, and the panel says of how many.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = sorted(zip(*models.values(), strict=True), key=lambda panel: len(panel[0].attributes))
    drawn = panels[:MAX_PANELS]
    columns = min(3, max(1, len(drawn)))
    rows = max(1, -(-len(drawn) // columns))
    groups = max((min(len(panel[0].rates), MAX_GROUPS) for panel in drawn), default=1)
    figure = Figure(figsize=(5.2 * columns, rows * (1.4 + 0.34 * groups) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    left = f" ({len(drawn)} of {len(panels)} metrics)" if len(panels) > len(drawn) else ""
    # A name may hold a dollar sign, which matplotlib would read as mathematics.
    figure.suptitle(title + left, parse_math=False)
    for position, panel in enumerate(drawn, start=1):
        _panel(figure.add_subplot(rows, columns, position), tuple(models), panel)
    return figure


def save(figure: Any, path: str) -> None:
    """Write a PNG. A sign that the font lacks is drawn as a box."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(path, dpi=110)


def _panel(axes: Any, names: Sequence[str], panel: Sequence[MetricByGroup]) -> None:
    shown = sorted(range(len(panel[0].rates)), key=lambda i: -panel[0].rates[i].rows)[:MAX_GROUPS]
    shown.sort()
    for number, (name, found) in enumerate(zip(names, panel, strict=True)):
        offset, legend = 0.16 * (number - (len(names) - 1) / 2), name
        for place, index in enumerate(shown):
            rate = found.rates[index]
            if rate.value is None or rate.interval is None:
                continue
            axes.errorbar(
                rate.value,
                place + offset,
                xerr=[[rate.value - rate.interval.lower], [rate.interval.upper - rate.value]],
                fmt="o" if rate.judged else "x",
                color=_COLOURS[number % len(_COLOURS)],
                label=legend or None,
                markersize=5,
                linewidth=1.2,
            )
            legend = ""
    labels = [f"{_short(group_text(panel[0].rates[i].group))} (n {panel[0].rates[i].n})" for i in shown]
    axes.set_yticks(range(len(shown)), labels, parse_math=False, fontsize=8)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", linewidth=0.4)
    axes.set_title(_heading(panel[-1], len(shown)), parse_math=False, fontsize=9)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7, loc="best")


def _heading(found: MetricByGroup, shown: int) -> str:
    label = f" of {_short(found.label)!r}" if found.label else ""
    few = f", {shown} of {len(found.rates)} groups" if shown < len(found.rates) else ""
    gap = "" if found.difference is None else f"\nlargest difference {found.difference:.1%}"
    return f"{str(found.metric).replace('_', ' ')}{label} by {_short(attribute_text(found.attributes))}{few}{gap}"


def _short(text: str) -> str:
    plain = "".join(sign if sign.isprintable() else "�" for sign in text)
    return plain if len(plain) <= _MAX_CHARACTERS else plain[: _MAX_CHARACTERS - 1] + "…"
