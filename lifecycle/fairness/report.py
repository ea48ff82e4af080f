"""Group metrics as tables for people. Pure: makes Rich tables, prints nothing."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from pegel.lifecycle.fairness.group_metrics import GroupRate, MetricByGroup
from pegel.lifecycle.fairness.groups import attribute_text, group_text
from pegel.streaming.statistics.group_rates import Metric

if TYPE_CHECKING:
    from rich.table import Table

_HEADS = {
    Metric.ACCURACY: "accuracy",
    Metric.SELECTION_RATE: "selected",
    Metric.TRUE_POSITIVE_RATE: "true positive",
    Metric.FALSE_POSITIVE_RATE: "false positive",
    Metric.FALSE_NEGATIVE_RATE: "false negative",
}


def group_tables(name: str, found: Sequence[MetricByGroup]) -> Iterator["Table"]:
    """One table for each grouping and positive label: a row a group, a column a metric, each rate with its interval.

    Args:
        name: whose decisions these are; '' if there is one model only.
        found: its metrics, in the order of :func:`~pegel.lifecycle.fairness.group_metrics.measure`.
    """
    from rich.table import Table
    from rich.text import Text

    for attributes, of_grouping in groupby(found, key=lambda one: one.attributes):
        metrics = list(of_grouping)
        labels = list(dict.fromkeys(one.label for one in metrics if one.label)) or [""]
        for label in labels:
            shown = [one for one in metrics if one.label in ("", label)]
            title = f"by {attribute_text(attributes)}"
            title += f", positive is {label!r}" if label else ""
            # Names come from a file: as Text they are not read as markup.
            table = Table(title=Text(f"{name}: {title}" if name else title), title_justify="left")
            table.add_column("group", overflow="fold", min_width=10)
            table.add_column("rows", justify="right")
            for one in shown:
                table.add_column(f"{_HEADS[one.metric]} %", justify="right")
            for place, rate in enumerate(shown[0].rates):
                cells = [_cell(one.rates[place]) for one in shown]
                table.add_row(Text(group_text(rate.group)), str(rate.rows), *cells)
            table.add_section()
            table.add_row("all", str(shown[0].overall.rows), *(_cell(one.overall) for one in shown))
            table.add_row("difference", "", *(_percent(one.difference) for one in shown))
            table.add_row("ratio", "", *(_plain(one.ratio) for one in shown))
            yield table


def price_table(models: Mapping[str, Sequence[MetricByGroup]]) -> "Table":
    """What mitigation changes: the largest difference of each metric, and the accuracy of all, of each model.

    Args:
        models: name -> metrics by one grouping and one positive label, the oldest first.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title="what it changes, on held-out rows", title_justify="left")
    table.add_column("", overflow="fold", min_width=30)
    for name in models:
        table.add_column(name, justify="right")
    found = list(models.values())
    accuracy = [next(one for one in of_model if one.metric is Metric.ACCURACY) for of_model in found]
    table.add_row("accuracy of all %", *(_percent(one.overall.value) for one in accuracy))
    table.add_section()
    for place, one in enumerate(found[0]):
        head = f"difference in {_HEADS[one.metric]}, by {attribute_text(one.attributes)} %"
        table.add_row(Text(head), *(_percent(of_model[place].difference) for of_model in found))
    return table


def _cell(rate: GroupRate) -> str:
    if rate.value is None or rate.interval is None:
        return "–"
    few = "" if rate.judged else " *"
    return f"{100 * rate.value:.2f} ({100 * rate.interval.lower:.0f}–{100 * rate.interval.upper:.0f}){few}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
