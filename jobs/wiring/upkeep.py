"""How tables are kept quick while the stream runs, and who may do that at a time. Wiring."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.schemas.tables import STREAM_TABLES
from pegel.tables.access import storage_options
from pegel.tables.lease import FILES_PATH, Lease
from pegel.tables.maintenance import COMMITS_BETWEEN, Maintenance, keep_all
from pegel.tables.owned import OwnedTables
from pegel.tables.woken_thread import WokenThread

_log = logging.getLogger(__name__)

MAINTAIN = "maintain"
LOOK_SECONDS = 60.0
PATIENCE_SECONDS = 5.0


@contextmanager
def files_held(tables: OwnedTables) -> Iterator[None]:
    """Hold the lease of the tables' files: an erasure deletes files that no commit knows yet.

    Raises:
        OutsideError: if somebody else holds it, or the storage refuses.
    """
    lease = Lease(tables, MAINTAIN, FILES_PATH)
    holder = lease.holder()
    if holder is not None or not lease.try_take():
        msg = f"files of the tables are in the hands of {holder or 'another process'!r}; run this again when it is done"
        raise OutsideError(msg)
    try:
        yield
    finally:
        lease.release()


class UpkeepOfTheStream:
    """Keeps the tables of the stream beside its micro-batches, each after so many commits.

    Args:
        settings: all of them.
        commits: after how many.
        look_seconds: how often their versions are looked at; the first time after so long, too.
    """

    def __init__(self, settings: Settings, commits: int = COMMITS_BETWEEN, look_seconds: float = LOOK_SECONDS) -> None:
        self._tables = Maintenance(settings.storage.root, storage_options(settings.storage))
        self._commits = commits
        self._kept: dict[str, int] = {}
        self._thread = WokenThread("upkeep of the tables", self._look, look_seconds)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        self._thread.wake()
        return self

    def __exit__(self, *_: object) -> None:
        """End; what is under way and takes too long is cut off, and the rows are as they were."""
        self._thread.stop(PATIENCE_SECONDS)

    def _look(self) -> float:
        due = [name for name in STREAM_TABLES if self._tables.version(name) - self._kept.get(name, 0) >= self._commits]
        if due:
            with files_held(self._tables):
                done, failed = keep_all(self._tables, due)
            for one in done:
                self._kept[one.table] = self._tables.version(one.table)
                _log.info("%s: files %d -> %d", one.table, one.files_before, one.files_after)
            for error in failed:
                _log.warning("a table was not kept, and is tried again: %s", error)
        # Done again after the time for which it always waits.
        return 0.0
