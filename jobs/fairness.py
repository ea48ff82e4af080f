"""``pegel fairness``: a file of decisions by group, and what mitigation would change. Wiring."""

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pegel.conf.fairness_settings import FairnessSettings
from pegel.conf.settings import Settings
from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.lifecycle.fairness.file_evaluation import Trial, by_first_attribute, evaluate_file, try_mitigation
from pegel.lifecycle.fairness.groups import group_text
from pegel.lifecycle.fairness.methods import AFTER, BEFORE, Constraint, Method
from pegel.lifecycle.fairness.record import as_json, log_file
from pegel.lifecycle.fairness.report import group_tables, price_table
from pegel.lifecycle.fairness.rows_file import Columns, read_rows

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, log to MLflow. Unequal groups are an answer, not a failure: it returns 0."""
    arguments = parse(_parser(), argv)
    _run(arguments.settings, arguments.options)
    return 0


def _parser() -> ArgumentParser:
    parser = build_parser("fairness", "Measure decisions by group, and try what mitigation would change.")
    parser.add_argument("--rows", type=Path, required=True, help="decisions with their labels: CSV or Parquet")
    parser.add_argument("--label", required=True, metavar="COLUMN", help="the true class")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument("--prediction", default="", metavar="COLUMN", help="the class that the model said")
    said.add_argument("--score", default="", metavar="COLUMN", help="a number, the higher the more positive")
    parser.add_argument("--threshold", type=float, default=0.5, help="a score from here on is positive (0.5)")
    parser.add_argument(
        "--positive", action="append", metavar="LABEL", help="a label that is positive; may be repeated"
    )
    parser.add_argument("--group", action="append", metavar="COLUMN", help="what groups are made by; may be repeated")
    parser.add_argument("--mitigate", choices=[str(method) for method in Method], help="try this by the first --group")
    parser.add_argument(
        "--constraint",
        choices=[str(constraint) for constraint in Constraint],
        default=str(Constraint.EQUALIZED_ODDS),
        help="what should be alike (equalized_odds)",
    )
    parser.add_argument(
        "--feature", action="append", default=[], metavar="COLUMN", help="the gradient learns from it too"
    )
    parser.add_argument("--held-out-share", type=_share, default=0.3, help="of rows that mitigation is judged by (0.3)")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of what mitigation draws (0)")
    return parser


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        msg = f"{text} is not between 0 and 1"
        raise ArgumentTypeError(msg)
    return share


def _columns(options: Namespace, settings: FairnessSettings) -> tuple[Columns, tuple[str, ...]]:
    positive = tuple(options.positive or settings.positive_labels)
    groups = tuple(dict.fromkeys(options.group or settings.attributes))
    if not groups:
        msg = "no groups are named; give --group, or set fairness.attributes"
        raise SettingsError(msg)
    if (options.score or options.mitigate) and len(positive) != 1:
        msg = f"a score and mitigation need one positive label, and {len(positive)} are named; give --positive once"
        raise SettingsError(msg)
    columns = Columns(
        label=options.label,
        groups=groups,
        prediction=options.prediction,
        score=options.score,
        threshold=options.threshold,
        positive=positive[0] if positive else "",
        features=tuple(options.feature),
    )
    return columns, positive


def _run(settings: Settings, options: Namespace) -> None:
    columns, positive = _columns(options, settings.fairness)
    rows = read_rows(options.rows, columns)
    if rows.left_out:
        log.warning("%d rows of %s have no label or no decision and are left out", rows.left_out, options.rows)
    models = evaluate_file(rows, positive, settings.fairness)
    facts = {"rows": len(rows.labels), "left_out": rows.left_out, "settings": settings.fairness.model_dump(mode="json")}
    title = f"fairness of {options.rows.name}"
    console = Console()
    _print(console, group_tables("", models[BEFORE]))
    if options.mitigate:
        trial = Trial(Method(options.mitigate), Constraint(options.constraint), options.held_out_share, options.seed)
        tried = try_mitigation(rows, positive[0], trial, settings.fairness)
        facts |= {"all_rows": as_json(models, {})["models"][BEFORE], "mitigation": tried.facts}
        title += f", {trial.method} under {trial.constraint} on {tried.rows} held-out rows"
        models = tried.models
        _print(console, group_tables(AFTER, by_first_attribute(models)[AFTER]))
        _print(console, [price_table(by_first_attribute(models))])
        console.print(f"{tried.price[0].upper()}{tried.price[1:]}.")
        for group in tried.kept:
            log.warning("%r has too few rows to fit to and keeps its decisions", group_text(group))
    console.print(f"In brackets the 95 % interval; * has fewer than {settings.fairness.min_group_rows} rows behind it.")
    log.info("logged to the run %s", log_file(settings, models, facts, title=title, at=datetime.now(UTC)))


def _print(console: Console, tables: Iterable[Table]) -> None:
    for table in tables:
        console.print(table)
        console.print()


if __name__ == "__main__":
    exit_with(main)
