"""What the pages read, and how little of it they read again. Edge: reads Delta, writes nothing.

A table is read again only when it has moved, and tables of the stream are asked only for the micro-batches that are
new. So an open page on which nothing happens costs a look at the tables' version numbers.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pegel.conf.settings import Settings
from pegel.dashboard.extracts import Extract, extracts
from pegel.tables.delta import DeltaTables

Row = dict[str, Any]

RELOAD_AFTER = timedelta(minutes=15)
"""Everything is read anew this often, so that a rebuild with old batch numbers is seen too."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows behind a page.

    Attributes:
        rows: name of the extract -> its rows, in no order.
        versions: table -> its version, -1 where it has not been made.
        read_at: when the tables were last looked at with success; None if they never were.
        problem: why they could not be read just now, in one sentence, or ''.
    """

    rows: Mapping[str, list[Row]] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    read_at: datetime | None = None
    problem: str = ""

    @property
    def token(self) -> tuple[object, ...]:
        """Equal tokens mean equal rows."""
        return (*sorted(self.versions.items()), self.problem)


class TableReader:
    """Keeps the rows that the pages need, and fetches what is new. Safe to call from several threads.

    Args:
        tables: where they lie.
        settings: how far back, and which windows.
    """

    def __init__(self, tables: DeltaTables, settings: Settings) -> None:
        self._tables = tables
        self._extracts = extracts(settings)
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._loaded_at: datetime | None = None

    def snapshot(self, now: datetime) -> Snapshot:
        """The rows as they are now. If the storage fails, the last ones that could be read, with the problem named."""
        with self._lock:
            try:
                self._snapshot = self._refresh(now)
            except Exception as error:
                # Whatever fails below (storage, credentials, a half-made table): the page must say so, not vanish.
                _log.warning("the tables could not be read: %s", error)
                problem = f"{type(error).__name__}: {error}"
                self._snapshot = Snapshot(
                    self._snapshot.rows, self._snapshot.versions, self._snapshot.read_at, problem[:300]
                )
            return self._snapshot

    def _refresh(self, now: datetime) -> Snapshot:
        old = self._snapshot
        versions = {table: self._tables.version(table) for table in {e.table for e in self._extracts.values()}}
        anew = self._loaded_at is None or now - self._loaded_at >= RELOAD_AFTER
        rows = {
            name: self._fetch(extract, old.rows.get(name, []), versions[extract.table], now, anew=anew)
            for name, extract in self._extracts.items()
        }
        if anew:
            self._loaded_at = now
        return Snapshot(rows, versions, now)

    def _fetch(self, extract: Extract, kept: list[Row], version: int, now: datetime, *, anew: bool) -> list[Row]:
        known = self._snapshot.versions.get(extract.table, -1)
        if version < 0:
            return []
        if version == known and not anew:
            return kept
        has_later = bool(extract.later) and extract.later in self._tables.columns(extract.table)
        if anew or not extract.by_batch or version < known or not kept:
            return self._tables.read(extract.table, extract.sql(now, has_later=has_later))
        seen = max(row["batch_id"] for row in kept)
        start = extract.start(now)
        new = self._tables.read(extract.table, extract.sql(now, after_batch=seen, has_later=has_later))
        return [row for row in kept if row[extract.kept_by] >= start] + new if new else kept
