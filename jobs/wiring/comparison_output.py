"""A comparison as JSON, CSV or a table in the terminal. Pure: text in, text out; names are hostile."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pegel.schemas.comparison import ComparedNumber, ComparisonVerdict, Metric
from pegel.schemas.comparison_summary import conclusion, printable, summaries

_SHORT = {
    Metric.PSI: "PSI",
    Metric.JENSEN_SHANNON: "JS",
    Metric.HELLINGER: "Hellinger",
    Metric.TOTAL_VARIATION: "TV",
    Metric.L_INFINITY: "L-inf",
    Metric.KS: "KS",
    Metric.WASSERSTEIN: "W",
    Metric.WASSERSTEIN_NORMALIZED: "W/sd",
    Metric.CHI2: "chi2",
}
_STYLES = {
    ComparisonVerdict.DRIFTED: "bold red",
    ComparisonVerdict.TOO_FEW: "yellow",
    ComparisonVerdict.STABLE: "green",
}


def as_json(numbers: Sequence[ComparedNumber]) -> str:
    r"""A list of objects, one a line; what is not a finite number is null.

    Example:
        >>> as_json([])
        '[]\n'
    """
    rows = [json.dumps(_plain(number), allow_nan=False, ensure_ascii=False) for number in numbers]
    return "[" + ",\n ".join(rows) + "]\n"


def as_csv(numbers: Sequence[ComparedNumber]) -> str:
    """The same as CSV (RFC 4180) with a header; null is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(ComparedNumber)])
    writer.writeheader()
    writer.writerows(_plain(number) for number in numbers)
    return out.getvalue()


def print_table(numbers: Sequence[ComparedNumber], console: Console) -> None:
    """A line for each chunk and column: the verdict, its largest effect, its smallest p-value, and all distances."""
    metrics = [metric for metric in Metric if any(number.metric is metric for number in numbers)]
    chunked = any(number.chunk for number in numbers)
    table = Table(header_style="bold")
    for heading in (["chunk", "from"] if chunked else []) + ["column", "verdict"]:
        table.add_column(heading, overflow="fold", min_width=6)
    for heading in ["n", "effect", "p", *(_SHORT[metric] for metric in metrics)]:
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries(numbers):
        values = {number.metric: _digits(number.value) for number in summary.numbers}
        first = summary.numbers[0]
        table.add_row(
            *([str(first.chunk), str(first.chunk_start)] if chunked else []),
            Text(printable(first.column)),
            Text(str(summary.verdict), _STYLES[summary.verdict]),
            str(first.n),
            _digits(summary.effect),
            _chance(summary.p_value),
            *(values.get(metric, "") for metric in metrics),
        )
    console.print(table)
    console.print(Text(conclusion(numbers)))


def _plain(number: ComparedNumber) -> dict[str, Any]:
    row = asdict(number)
    return {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in row.items()}


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _chance(p: float | None) -> str:
    return "–" if p is None else "<1e-12" if p < 1e-12 else f"{p:.2g}"
