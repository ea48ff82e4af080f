"""How requests to erase are carried out by whoever owns the tables: the stream, or ``pegel erase`` itself. Wiring."""

import logging
import threading
import time
from contextlib import AbstractContextManager
from typing import Self

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, PegelError, SettingsError
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.tables.access import storage_options
from pegel.tables.erasure import WRITER, Erased, Erasure, filed_requests, is_half_written
from pegel.tables.lease import FILES_PATH, Lease
from pegel.tables.owned import OwnedTables

_log = logging.getLogger(__name__)

STREAM = "stream"
LOOK_SECONDS = 5.0
WAIT_SECONDS = 1.0
AGAIN_SECONDS = 60.0


def open_owned(settings: Settings) -> OwnedTables:
    """The tables of the settings, for whoever holds their lease."""
    return OwnedTables(settings.storage.root, storage_options(settings.storage))


def carry_out(settings: Settings, tables: OwnedTables) -> list[Erased] | None:
    """Carry out what is filed, oldest first.

    Returns:
        None if it cannot be now: a half-written micro-batch must be completed before, or somebody puts files of the
        tables together.

    Raises:
        OutsideError: if the storage fails; what has not been done stays filed.
        SettingsError: if another process of this machine writes the same audit trail.
    """
    requests = filed_requests(tables)
    if not requests:
        return []
    files = Lease(tables, WRITER, FILES_PATH)
    if is_half_written(tables) or not files.try_take():
        return None
    try:
        trail = build_trail(settings, tables, WRITER)
        trail.start()
        try:
            erasure = Erasure(tables, trail.record)
            return [erasure.carry_out(request) for request in requests]
        finally:
            trail.close()
    finally:
        files.release()


class ErasuresOfTheStream:
    """Holds the lease of the tables for the stream, and carries out requests between its micro-batches.

    Args:
        settings: all of them.
        stop: ends the waiting for the lease; then it is not held.
    """

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._tables = open_owned(settings)
        self._lease = Lease(self._tables, STREAM)
        self._next_look = 0.0

    def __enter__(self) -> Self:
        """Take the lease, once no ``pegel erase`` is at work.

        Raises:
            SettingsError: if another stream writes the tables.
            OutsideError: if the storage refuses.
        """
        said = False
        while not self._stop.is_set():
            holder = self._lease.holder()
            if holder == WRITER:
                if not said:
                    _log.info("an erasure is under way; the stream begins when it is done")
                    said = True
                self._stop.wait(WAIT_SECONDS)
                continue
            if holder is not None and self._lease.is_renewed(self._stop.wait):
                self._refuse()
            if self._lease.take_over():
                break
        return self

    def _refuse(self) -> None:
        if self._stop.is_set():
            return
        msg = (
            f"another stream writes the tables below {self._settings.storage.root!r}; end that one first, or give this"
            " one a storage.root of its own"
        )
        raise SettingsError(msg)

    def __exit__(self, *_: object) -> None:
        """Let the lease go."""
        self._lease.release()

    def look(self, between: AbstractContextManager[object]) -> None:
        """Carry out what is filed; what fails is logged and tried again after a while.

        Args:
            between: is entered while rows are erased: holds up the next micro-batch.

        Raises:
            OutsideError: if another stream has taken the tables over.
        """
        if self._lease.lost.is_set():
            msg = (
                f"another stream has taken over the tables below {self._settings.storage.root!r}, as nothing was heard"
                " of this one for too long; see that only one is started"
            )
            raise OutsideError(msg)
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
