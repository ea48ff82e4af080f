"""Verify the audit chains: ``pegel audit verify --config FILE``. Wiring."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from pegel.alerts.delivery import audit_anchors as delivered
from pegel.conf.settings import Settings
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.schemas.audit import Anchor
from pegel.tables.access import open_tables
from pegel.tables.audit_verification import verify_table
from pegel.tables.delta import DeltaTables


def main(argv: Sequence[str] | None = None) -> int:
    """Recompute every chain, compare it with what was kept elsewhere, and print a line for each table and finding.

    Returns:
        0 if nothing was found, 1 otherwise.

    Raises:
        OutsideError: if a table or MLflow cannot be read: what was not compared is not called intact.
    """
    parser = build_parser("audit", "Verify the audit chains against their anchors in deliveries and MLflow.")
    parser.add_argument("what", choices=["verify"], help="recompute the chains and say what was changed in them")
    parser.add_argument(
        "--without-mlflow",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compare with the anchors in deliveries only",
    )
    arguments = parse(parser, argv)
    settings = arguments.settings
    tables = open_tables(settings.storage)
    anchors = _anchors(settings, tables, mlflow=not arguments.options.without_mlflow)
    verified = [verify_table(tables, writer, anchors.get(writer, [])) for writer in settings.audit.writers]
    for verification in verified:
        sys.stdout.write("".join(f"{line}\n" for line in verification.lines()))
    return int(any(verification.findings for verification in verified))


def _anchors(settings: Settings, tables: DeltaTables, *, mlflow: bool) -> Mapping[str, list[Anchor]]:
    found = delivered.read_anchors(tables)
    if mlflow:
        from pegel.lifecycle import audit_anchors as kept

        for writer, anchors in kept.read_anchors(settings).items():
            found.setdefault(writer, []).extend(anchors)
    return found


if __name__ == "__main__":
    exit_with(main)
