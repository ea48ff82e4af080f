"""Keeping tables quick to read: small files put together, old ones and old log entries let go. Edge.

No row changes, so this may run beside the process that writes the table: Delta lets a commit that changes no rows and
an append go beside each other. An erasure rewrites rows; of the two that meet, one is refused and comes again.
"""

from dataclasses import dataclass

from deltalake import DeltaTable

from pegel.errors import OutsideError
from pegel.tables.delta import COMPACT_BYTES
from pegel.tables.owned import OwnedTables

COMMITS_BETWEEN = 200
"""After so many commits a table is slower to open and to append to by some milliseconds: time to keep it."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done to one table.

    Attributes:
        table: its name.
        files_before: how many files its newest version had; ``files_after``: afterwards.
        log_before: how many entries its log had, checkpoints included; ``log_after``: afterwards.
        removed: old files that were deleted.
    """

    table: str
    files_before: int
    files_after: int
    log_before: int
    log_after: int
    removed: int


class Maintenance(OwnedTables):
    """The tables below one ``storage.root``, for whoever keeps them quick."""

    def keep(self, name: str) -> Upkeep:
        """Compact a table, write a checkpoint of its log, and let go of what is older than the table's retention.

        Files that no version needs any more are deleted after ``delta.deletedFileRetentionDuration``, a week if that
        is not set, log entries after ``delta.logRetentionDuration``. Done again it changes nothing but what has come
        since.

        Raises:
            OutsideError: if the storage fails, or somebody rewrote the table meanwhile; the rows are as they were.
        """
        before = self._counts(name)
        with self._asking("keep", name):
            table = DeltaTable(self.uri(name), storage_options=self._options())
            table.optimize.compact(target_size=COMPACT_BYTES)
            table.create_checkpoint()
            table.cleanup_metadata()
            removed = len(table.vacuum(dry_run=False))
        after = self._counts(name)
        return Upkeep(name, before[0], after[0], before[1], after[1], removed)

    def _counts(self, name: str) -> tuple[int, int]:
        with self._asking("look at", name):
            table = DeltaTable(self.uri(name), storage_options=self._options())
            return len(table.file_uris()), len(self.files_below(f"{name}/_delta_log"))


def keep_all(tables: Maintenance, names: list[str]) -> tuple[list[Upkeep], list[OutsideError]]:
    """Keep each table that is there; one that fails keeps no other from it."""
    done, failed = [], []
    for name in names:
        try:
            if tables.version(name) >= 0:
                done.append(tables.keep(name))
        except OutsideError as error:
            failed.append(error)
    return done, failed
