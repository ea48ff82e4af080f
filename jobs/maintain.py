"""Keep the tables quick to read: ``pegel maintain``, by schedule. Wiring."""

import sys
from collections.abc import Sequence

from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.schemas.tables import TABLES
from pegel.tables.access import storage_options
from pegel.tables.maintenance import Maintenance, keep_all


def main(argv: Sequence[str] | None = None) -> int:
    """Put small files together and let go of old ones, table by table; no row changes, and the stream may run.

    Returns:
        0 if every table was kept.

    Raises:
        OutsideError: if one was not; the others were, and the next run does what is left.
    """
    arguments = parse(build_parser("maintain", "Put small files of the tables together, let go of old ones."), argv)
    storage = arguments.settings.storage
    tables = Maintenance(storage.root, storage_options(storage))
    done, failed = keep_all(tables, sorted(TABLES))
    for one in done:
        sys.stdout.write(
            f"{one.table}: files {one.files_before} -> {one.files_after}, log entries {one.log_before} -> "
            f"{one.log_after}, {one.removed} old files deleted\n"
        )
    if failed:
        msg = f"{len(failed)} of {len(done) + len(failed)} tables could not be kept, first: {failed[0]}"
        raise OutsideError(msg)
    return 0


if __name__ == "__main__":
    exit_with(main)
