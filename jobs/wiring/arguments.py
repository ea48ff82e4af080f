"""The arguments that every job takes, and how a job ends. Edge."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pegel.conf.loading import load_settings
from pegel.conf.settings import Settings
from pegel.errors import PegelError
from pegel.jobs.wiring.log_lines import log_to_standard_error, visible


@dataclass(frozen=True, slots=True)
class JobArguments:
    """What a job is started with."""

    settings: Settings
    available_now: bool
    options: argparse.Namespace


def build_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with ``--config``, ``--set`` and ``--available-now``; a job may add its own arguments to it."""
    parser = argparse.ArgumentParser(prog=f"pegel {name}", description=description)
    parser.add_argument("--config", help="YAML file with settings, or the name of one that ships with Pegel")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides", help="override one setting"
    )
    parser.add_argument("--available-now", action="store_true", help="do what is there, then stop")
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> JobArguments:
    """Read the arguments and the settings, and set up the log on standard error."""
    # Words and options may come in any order.
    options = parser.parse_intermixed_args(argv)
    log_to_standard_error()
    return JobArguments(load_settings(options.config, options.overrides), options.available_now, options)


def exit_with(main: Callable[[], int | None]) -> None:
    """Run a job's ``main`` as a program: a :class:`PegelError` becomes one sentence and its exit code.

    A wheel task on Databricks calls ``main`` itself and sees the exception, which is what fails the run there.
    """
    try:
        raise SystemExit(main() or 0)
    except PegelError as error:
        sys.stderr.write(f"pegel: {visible(str(error))}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
