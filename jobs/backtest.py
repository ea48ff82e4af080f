"""Try another policy on history: ``pegel backtest --policy NEW.yml``. Wiring: reads tables, writes none."""

import argparse
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from pegel.alerts.policy import load_policy
from pegel.alerts.policy_comparison import ToldIncident, told_incidents
from pegel.conf.settings import Settings
from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.backtest_output import BacktestReport, as_json, print_report
from pegel.jobs.wiring.backtesting import Backtest
from pegel.jobs.wiring.fault_delays import FaultDelays, FaultPlan
from pegel.schemas.policy import Policy
from pegel.tables.access import open_tables

_WIDE = 150
"""Characters in a line of a table where no terminal says how many it has."""


def main(argv: Sequence[str] | None = None) -> int:
    """Decide history by the present policy and by the new one, and print how they differ.

    Returns:
        0; with ``--fail-above N`` 1 if the new policy opens more incidents a week.

    Raises:
        SettingsError: if a policy cannot be read, or no history lies between the times.
        OutsideError: if a table cannot be read.
    """
    arguments = parse(_parser(), argv)
    report = _backtest(arguments.settings, arguments.options)
    if arguments.options.output == "json":
        sys.stdout.write(as_json(report))
    else:
        print_report(report, Console(width=None if sys.stdout.isatty() else _WIDE))
    limit = arguments.options.fail_above
    return int(limit is not None and report.alerts_per_week[1] > limit)


def _parser() -> argparse.ArgumentParser:
    parser = build_parser("backtest", "Decide stored history again by another policy, and say what would change.")
    parser.add_argument("--policy", required=True, metavar="NEW.yml", help="the policy to try")
    for name, what in (("from", "the first moment of history"), ("to", "the first moment after it")):
        parser.add_argument(f"--{name}", type=_time, metavar="TIME", dest=name, help=f"{what}, as ISO 8601; else all")
    parser.add_argument("--output", choices=("table", "json"), default="table", help="how to say it")
    parser.add_argument("--fail-above", type=_amount, metavar="N", help="end with 1 above N alerts a week")
    parser.add_argument("--onsets", type=int, default=3, metavar="N", help="plant each fault N times (3); 0 for none")
    parser.add_argument("--shift", type=_amount, default=0.25, metavar="SD", help="of planted shifts, in sd (0.25)")
    parser.add_argument(
        "--share", type=_share, default=0.05, metavar="SHARE", help="of events that move or fail (0.05)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides where faults are planted (0)")
    return parser


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _amount(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        msg = f"{text} is not 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return number


def _share(text: str) -> float:
    number = _amount(text)
    if number > 1:
        msg = f"{text} is not a share of 0 to 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _backtest(settings: Settings, options: argparse.Namespace) -> BacktestReport:
    tables = open_tables(settings.storage)
    if tables.version("batches") < 0:
        msg = f"there is no table 'batches' under {settings.storage.root!r}, so no history; check storage.root"
        raise SettingsError(msg)
    present, new = load_policy(settings.watch.policy), load_policy(options.policy)
    backtest = Backtest(tables, settings)
    first, before, since, until = backtest.span(getattr(options, "from"), options.to)

    def told(policy: Policy) -> list[ToldIncident]:
        rows = [row for batch in backtest.run(policy, first, before) for row in batch.decided.alerts]
        return told_incidents(rows)

    by_present = told(present)
    by_new = by_present if present.hash == new.hash else told(new)
    plan = FaultPlan(options.onsets, options.shift, options.share, options.seed)
    delays = (
        FaultDelays(tables, backtest, first, before, plan).measure([present, new], by_present) if plan.onsets else []
    )
    hashes = present.hash, new.hash
    return BacktestReport(since, until, (first, before - 1), hashes, by_present, by_new, delays)


if __name__ == "__main__":
    exit_with(main)
