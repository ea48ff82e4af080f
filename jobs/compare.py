"""``pegel compare BASELINE CURRENT``: did it drift? Two files or Delta tables, without Spark. Wiring."""

import argparse
import math
import sys
from collections.abc import Sequence

from rich.console import Console

from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.comparing import ComparisonPlan, compare
from pegel.jobs.wiring.comparison_output import as_csv, as_json, print_table
from pegel.schemas.comparison import ComparedNumber, ComparisonVerdict, Metric
from pegel.streaming.statistics.chunks import parse_period
from pegel.streaming.statistics.comparison_verdicts import MINIMUM_EFFECT
from pegel.tables.access import storage_options
from pegel.tables.column_source import open_columns

_WIDE = 150
"""Characters in a line of the table where no terminal says how many it has."""


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print.

    Returns:
        0; with ``--fail-on-drift`` 1 if anything drifted.
    """
    arguments = parse(_parser(), argv)
    options = arguments.options
    plan = _plan(options)
    storage = storage_options(arguments.settings.storage)
    numbers = compare(open_columns(options.baseline, storage), open_columns(options.current, storage), plan)
    _print(numbers, options)
    drifted = any(number.verdict is ComparisonVerdict.DRIFTED for number in numbers)
    return int(options.fail_on_drift and drifted)


def _parser() -> argparse.ArgumentParser:
    parser = build_parser("compare", "Say whether the rows of CURRENT have drifted from those of BASELINE.")
    for side in ("baseline", "current"):
        parser.add_argument(side, metavar=side.upper(), help="a Parquet, CSV or JSON Lines file, or a Delta table")
    parser.add_argument("--columns", nargs="+", action="extend", default=[], metavar="NAME", help="compare only these")
    cut = parser.add_mutually_exclusive_group()
    cut.add_argument("--chunk-size", type=_positive, default=0, metavar="N", help="cut CURRENT into chunks of N rows")
    cut.add_argument(
        "--chunk-by",
        default="",
        metavar="TIME[:PERIOD]",
        help="cut CURRENT by the times in this column, e.g. event_time:1h (1d)",
    )
    parser.add_argument(
        "--time-column", default="", metavar="NAME", help="put rows in order by the times in this column"
    )
    parser.add_argument(
        "--metrics", nargs="+", action="extend", default=[], choices=list(Metric), metavar="METRIC",
        help=f"measure only these of {', '.join(Metric)}",
    )  # fmt: skip
    parser.add_argument(
        "--minimum-effect",
        type=_effect,
        default=MINIMUM_EFFECT,
        metavar="SD",
        help=f"smaller shifts do not matter, in standard deviations of the baseline ({MINIMUM_EFFECT})",
    )
    parser.add_argument("--output", choices=("table", "json", "csv", "html"), default="table", help="how to say it")
    parser.add_argument("--fail-on-drift", action="store_true", help="end with exit code 1 if anything drifted")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return number


def _effect(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        msg = f"{text} is not 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return number


def _plan(options: argparse.Namespace) -> ComparisonPlan:
    time_column, period = options.time_column, 0
    if options.chunk_by:
        name, _, last = options.chunk_by.rpartition(":")
        name, period = (name, parse_period(last)) if name else (last, parse_period("1d"))
        if time_column not in ("", name):
            msg = f"--chunk-by goes by {name!r} and --time-column says {time_column!r}; name the same or leave it out"
            raise SettingsError(msg)
        time_column = name
    return ComparisonPlan(
        columns=tuple(options.columns),
        metrics=tuple(metric for metric in Metric if metric in options.metrics) or tuple(Metric),
        chunk_rows=options.chunk_size,
        period=period,
        time_column=time_column,
        minimum_effect=options.minimum_effect,
    )


def _print(numbers: Sequence[ComparedNumber], options: argparse.Namespace) -> None:
    if options.output == "table":
        print_table(numbers, Console(width=None if sys.stdout.isatty() else _WIDE))
        return
    if options.output == "html":
        from pegel.dashboard.comparison_page import comparison_page

        text = comparison_page(numbers, options.baseline, options.current)
    else:
        text = as_json(numbers) if options.output == "json" else as_csv(numbers)
    sys.stdout.write(text)


if __name__ == "__main__":
    exit_with(main)
