"""How requests to erase are carried out by whoever owns the tables: the stream, or ``pegel erase`` itself. Wiring."""

import logging
import time
from contextlib import AbstractContextManager
from typing import Self

from pegel.conf.settings import Settings
from pegel.errors import PegelError
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.tables.access import storage_options
from pegel.tables.erasure import WRITER, Erased, Erasure, filed_requests, is_half_written
from pegel.tables.lease import Lease
from pegel.tables.owned import OwnedTables

_log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 60.0


def open_owned(settings: Settings) -> OwnedTables:
    """The tables of the settings, for whoever holds their lease."""
    return OwnedTables(settings.storage.root, storage_options(settings.storage))


def carry_out(settings: Settings, tables: OwnedTables) -> list[Erased] | None:
    """Carry out what is filed, oldest first; None if a half-written micro-batch must be completed before.

    Raises:
        OutsideError: if the storage fails; what has not been done stays filed.
        SettingsError: if another process of this machine writes the same audit trail.
    """
    requests = filed_requests(tables)
    if not requests:
        return []
    if is_half_written(tables):
        return None
    trail = build_trail(settings, tables, WRITER)
    trail.start()
    try:
        erasure = Erasure(tables, trail.record)
        return [erasure.carry_out(request) for request in requests]
    finally:
        trail.close()


class ErasuresOfTheStream:
    """Holds the lease of the tables for the stream, and carries out requests between its micro-batches.

    Args:
        settings: all of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = open_owned(settings)
        self._lease = Lease(self._tables, "stream")
        self._next_look = 0.0

    def __enter__(self) -> Self:
        """Take the lease, once no ``pegel erase`` is at work.

        Raises:
            OutsideError: if the storage refuses.
        """
        said = False
        while self._lease.holder() == WRITER:
            if not said:
                _log.info("an erasure is under way; the stream begins when it is done")
                said = True
            time.sleep(1)
        self._lease.take_over()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the lease go."""
        self._lease.release()

    def look(self, between: AbstractContextManager[object]) -> None:
        """Carry out what is filed; what fails is logged and tried again after a while.

        Args:
            between: is entered while rows are erased: holds up the next micro-batch.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        try:
            if not filed_requests(self._tables):
                return
            with between:
                for erased in carry_out(self._settings, self._tables) or ():
                    _log.info("erasure %s: %s", erased.erasure_id, erased.rows)
        except PegelError as error:
            self._next_look = time.monotonic() + AGAIN_SECONDS
            _log.warning("an erasure was not carried out: %s", error)
