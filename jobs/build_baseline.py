"""``pegel build-baseline``: make, or take, a model and register it with its grid and baseline, from files. Wiring."""

import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.lifecycle.brought_model import BroughtModelAdapter
from pegel.lifecycle.first_version import AUDIT_WRITER
from pegel.lifecycle.labelled_text import read_labelled_texts
from pegel.lifecycle.registration import register_first
from pegel.lifecycle.registry import Registry
from pegel.tables.access import open_tables

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Register one version; that it serves, or may not, is recorded in the audit trail."""
    parser = build_parser("build-baseline", "Make a model by model.kind and register it with its grid and baseline.")
    parser.add_argument("--rows", type=Path, required=True, help="training rows: JSON Lines or Parquet, text and label")
    parser.add_argument(
        "--validation",
        type=Path,
        required=True,
        help="rows for the baseline, in their natural mix; with columns of fairness.attributes it is judged by them",
    )
    parser.add_argument(
        "--model-path", type=Path, metavar="FOLDER",
        help="register this MLflow model, e.g. of a Volume, instead of making one; --rows are those it was made from",
    )  # fmt: skip
    parser.add_argument("--champion", action="store_true", help="let this version serve at once")
    arguments = parse(parser, argv)
    settings, options = arguments.settings, arguments.options
    tables = open_tables(settings.storage)
    with closing(build_trail(settings, tables, AUDIT_WRITER)) as trail:
        if options.champion:
            trail.start()
        made = register_first(
            Registry(settings),
            tables,
            read_labelled_texts(options.rows),
            read_labelled_texts(options.validation, settings.fairness.attributes),
            source=f"{options.rows.name}, validated on {options.validation.name}",
            alias_champion=options.champion,
            adapter=BroughtModelAdapter(options.model_path) if options.model_path else None,
            trail=trail,
        )
    log.info("version %s of %r has the baseline %s", made.version, made.model, made.baseline_id)
    return 0


if __name__ == "__main__":
    exit_with(main)
