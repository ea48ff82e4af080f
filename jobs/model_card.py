"""Make the model card of a version: ``pegel model-card --version N``. Wiring."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.lifecycle.card_facts import gather, log_card
from pegel.lifecycle.model_card import render
from pegel.lifecycle.registry import Registry
from pegel.tables.access import open_tables


def main(argv: Sequence[str] | None = None) -> int:
    """Print the card as it is now; with ``--log`` keep it in the version's MLflow run too.

    Raises:
        SettingsError: if no version is named and there is no champion.
        OutsideError: if the version does not exist, or MLflow or the storage fails.
    """
    parser = build_parser("model-card", "Make the model card of a version from registry, evaluation and monitoring.")
    parser.add_argument("--version", metavar="N", help="the version; without it the champion")
    parser.add_argument(
        "--log", action="store_true", help="keep it in the MLflow run of the version, as model_card_N.md"
    )
    arguments = parse(parser, argv)
    settings = arguments.settings
    registry, tables = Registry(settings), open_tables(settings.storage)
    version = arguments.options.version or registry.champion()
    if version is None:
        msg = f"{registry.model!r} has no champion; name a version with --version"
        raise SettingsError(msg)
    now = datetime.now(UTC)
    card = (
        log_card(registry, tables, version, now)
        if arguments.options.log
        else render(gather(registry, tables, version, now))
    )
    sys.stdout.write(card)
    return 0


if __name__ == "__main__":
    exit_with(main)
