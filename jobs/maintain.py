"""Keep the tables quick to read: ``pegel maintain``, by schedule. Wiring."""

import sys
from collections.abc import Sequence
from datetime import timedelta

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, PegelError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.upkeep import files_held
from pegel.schemas.tables import TABLES
from pegel.streaming.watch.retention import mergeable_up_to
from pegel.tables.access import storage_options
from pegel.tables.maintenance import Maintenance, keep_all
from pegel.tables.merging import MergingTables


def main(argv: Sequence[str] | None = None) -> int:
    """Add old partials up, put small files together and let go of old ones, table by table; the stream may run.

    Returns:
        0 if all of it was done.

    Raises:
        OutsideError: if some was not; the rest was, and the next run does what is left. Nothing was if an erasure or
            another upkeep is at work.
    """
    arguments = parse(
        build_parser("maintain", "Add old partials up, put small files of the tables together, let go of old ones."),
        argv,
    )
    settings = arguments.settings
    tables = Maintenance(settings.storage.root, storage_options(settings.storage))
    failed: list[PegelError] = []
    with files_held(tables):
        try:
            _merge(settings)
        except PegelError as error:
            failed.append(error)
        done, not_kept = keep_all(tables, sorted(TABLES))
    for one in done:
        sys.stdout.write(
            f"{one.table}: files {one.files_before} -> {one.files_after}, log entries {one.log_before} -> "
            f"{one.log_after}, {one.removed} old files deleted\n"
        )
    failed += not_kept
    if failed:
        msg = f"{len(failed)} of {len(done) + len(failed)} tables could not be kept, first: {failed[0]}"
        raise OutsideError(msg)
    return 0


def _merge(settings: Settings) -> None:
    tables = MergingTables(settings.storage.root, storage_options(settings.storage))
    merged = tables.merge(mergeable_up_to(tables, timedelta(days=settings.retention.replay_days)))
    if merged.rows_before:
        sys.stdout.write(
            f"profiles: {merged.rows_before} partials up to micro-batch {merged.up_to} -> {merged.rows_after} of a "
            "minute each\n"
        )


if __name__ == "__main__":
    exit_with(main)
