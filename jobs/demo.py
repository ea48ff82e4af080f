"""``pegel demo``: the whole loop on this machine, told as it happens. Wiring."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from pegel.jobs.wiring.arguments import exit_with
from pegel.local.demo.faults import FAULTS, UNRETRAINED
from pegel.local.demo.model import MODELS, PER_SECOND, TEXT_CLASSIFIER
from pegel.local.demo.queries import clinc_pool, generated_pool
from pegel.local.demo.run import Demo, DemoPlan
from pegel.local.demo.story import CLOSED, RESOLVED
from pegel.local.demo.traffic import TrafficPlan

COLOURS = {
    "drift begins": "yellow",
    "incident opened": "red",
    "incident confirmed": "red",
    "incident resolved": "green",
    "diagnosed": "yellow",
    "data breaks": "yellow",
    "inputs move": "yellow",
    "data owner paged": "red",
    "retraining proven": "green",
    "retraining rolled_back": "magenta",
    "retraining failed": "magenta",
    "champion moved": "cyan",
}


def build_parser() -> argparse.ArgumentParser:
    """The demo's arguments."""
    parser = argparse.ArgumentParser(
        prog="pegel demo",
        description="Start everything on loopback, let drift happen, and watch the loop close. Ctrl-C stops all of it.",
    )
    parser.add_argument("--exit", action="store_true", help="stop when the loop has closed; exit 0 only then")
    parser.add_argument("--data", type=Path, help="real queries: CLINC150's data_full.json")
    parser.add_argument("--folder", type=Path, default=Path(".pegel/demo"), help="where this run lies; emptied first")
    parser.add_argument("--seed", type=int, default=7, help="of the traffic")
    parser.add_argument("--model", choices=MODELS, default=TEXT_CLASSIFIER, help="what is monitored and retrained")
    parser.add_argument("--rate", type=float, help="queries a second; 60, or 30 with --model openai, if not given")
    parser.add_argument("--quiet", type=float, default=30, metavar="SECONDS", help="usual traffic before the drift")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="give up after so long")
    parser.add_argument("--dashboard-port", type=int, default=8712, help="where the dashboard listens")
    parser.add_argument("--fault", choices=FAULTS, help="let this go wrong, to see how the loop then ends")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0 if the loop closed, or ended without a retraining where there was nothing to retrain for; with ``--exit`` 1 if
        it did not.
    """
    options = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGTERM, _interrupt)
    pool = clinc_pool(options.data) if options.data else generated_pool(options.seed)
    plan = DemoPlan(
        pool=pool,
        traffic=TrafficPlan(per_second=options.rate or PER_SECOND[options.model], seed=options.seed),
        folder=options.folder,
        exit=options.exit,
        quiet_seconds=options.quiet,
        limit_seconds=options.limit,
        dashboard_port=options.dashboard_port,
        fault=options.fault,
        model=options.model,
    )
    outcome = Demo(plan, _teller()).run()
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    sys.stdout.flush()
    good = RESOLVED if options.fault in UNRETRAINED else CLOSED
    return 0 if outcome.state == good or not options.exit else 1


def _teller() -> "_Teller":
    return _Teller(Console(no_color="NO_COLOR" in os.environ, highlight=False, soft_wrap=True))


class _Teller:
    """Prints a turn of the story as one line: minutes and seconds since the first, what, and the details."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._first: datetime | None = None

    def __call__(self, at: datetime, title: str, details: str) -> None:
        self._first = self._first or at
        seconds = max(0, round((at - self._first).total_seconds()))
        colour = COLOURS.get(title, "bold")
        clock = f"{seconds // 60:02d}:{seconds % 60:02d}"
        self._console.print(f"{clock}  [{colour}]{title:<24}[/{colour}]", end=" ")
        self._console.print(details, markup=False)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    exit_with(main)
