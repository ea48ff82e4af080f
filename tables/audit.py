"""An audit trail: decisions of one process become links of its chain, first on disk, then in its Delta table. Edge.

:meth:`AuditTrail.put` costs its caller next to nothing: a thread chains what came, has it on disk within a tenth of a
second, and appends it to ``audit_events_<writer>`` about once a second. :meth:`AuditTrail.record` returns when the
record is in the table. A process that is killed loses what came in its last tenth of a second; its successor stores
what is on disk and goes on behind it. A record is in the table once, whatever is repeated: its batch is a transaction
whose version is the number of its last record.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pegel.errors import OutsideError
from pegel.schemas.audit import GENESIS, AuditRecord, Decision, Head, chain, decide, to_row
from pegel.schemas.loop_tables import audit_table
from pegel.tables.audit_spool import AuditSpool
from pegel.tables.delta import DeltaTables
from pegel.tables.woken_thread import WokenThread

_log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
"""How long what came is in memory alone."""

MAX_BATCH = 5_000
"""Records in one append."""


class AuditTrail:
    """The trail of one writer. Safe for threads.

    Args:
        tables: where its table lies.
        writer: its name; no other process may use it.
        spool: the folder of its spool, on a disk of this machine that outlives the process.
        append_seconds: how long records of :meth:`put` wait on disk, so that one append takes many.
        max_buffered: records that may wait in memory; what comes beyond is lost, counted, and the count recorded.
        compact_after: appends after which their files are put together: one append a second is 86,400 files a day,
            which every later append and every reader would have to list.
        now: the clock.

    Raises:
        ContractError: if the writer has no proper name.
    """

    def __init__(
        self,
        tables: DeltaTables,
        writer: str,
        spool: Path,
        *,
        append_seconds: float = 1.0,
        max_buffered: int = 20_000,
        compact_after: int = 500,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._table = audit_table(writer).name
        self._tables = tables
        self._writer = writer
        self._folder = spool
        self._max_buffered = max_buffered
        self._now = now
        self._buffer: deque[dict[str, Any]] = deque()
        self._counting = threading.Lock()
        self._lost = 0
        # What follows is written under `_disk`, so that a storage that hangs does not keep records off the disk.
        self._disk = threading.RLock()
        self._pending: list[Decision] = []
        self._spool: AuditSpool | None = None
        self._head: Head | None = None
        self._storage = threading.RLock()
        self._stored = -1
        self._unsure = False
        self._compact_after = compact_after
        self._appends = 0
        self._writing = WokenThread(f"audit-{writer}-disk", self._write_down, GATHER_SECONDS)
        self._storing = WokenThread(f"audit-{writer}-table", self._store, append_seconds)

    def start(self) -> None:
        """Take the spool, and begin to store what comes and what an earlier process left.

        Raises:
            SettingsError: if another process has this writer's name, or the spool cannot be written.
        """
        with self._disk:
            self._take_spool()
        for thread in (self._writing, self._storing):
            thread.wake()
            thread.start()

    def put(
        self, *, actor: str, action: str, subject: str, decision: str, reason: str, evidence: Mapping[str, Any]
    ) -> None:
        """Record a decision soon; never waits and never fails. See :class:`~pegel.schemas.audit.Decision`."""
        # A deque is safe by itself: no lock is taken here that a slow disk could hold.
        if len(self._buffer) >= self._max_buffered:
            with self._counting:
                self._lost += 1
            return
        said = {"actor": actor, "action": action, "subject": subject, "decision": decision, "reason": reason}
        self._buffer.append(said | {"at": self._now(), "evidence": dict(evidence)})
        self._writing.wake()

    def record(
        self, *, actor: str, action: str, subject: str, decision: str, reason: str, evidence: Mapping[str, Any]
    ) -> None:
        """Record a decision and return when it is in the table, with all that came before it.

        Raises:
            OutsideError: if the disk or the table cannot be written; if only the table, the record gets there later.
            SettingsError: if another process has this writer's name.
        """
        said = {"actor": actor, "action": action, "subject": subject, "decision": decision, "reason": reason}
        with self._disk:
            self._take_buffer()
            self._pending.append(decide(at=self._now(), evidence=evidence, **said))
            try:
                self._write_pending()
            except Exception as error:
                self._pending.pop()
                if not isinstance(error, OSError):
                    raise
                msg = f"the audit spool of {self._writer!r} in {self._folder} cannot be written: {error.strerror}"
                raise OutsideError(msg) from error
        self._store()

    def head(self) -> Head:
        """Number and hash of the last record that is on disk; (-1, 64 zeros) if there is none.

        Raises:
            OutsideError: if the table cannot be read, which is asked once.
        """
        with self._disk:
            return self._open()

    def close(self, patience_seconds: float = 10.0) -> None:
        """Store what is left, or leave it on disk for the next start, and let the spool go."""
        ended = [thread.stop(patience_seconds) for thread in (self._writing, self._storing)]
        if not all(ended):
            _log.warning("audit records of %r wait for the next start: the storage does not answer", self._writer)
            return
        with self._disk:
            unused = self._spool is None and not self._buffer
        try:
            if not unused:
                self._write_down()
                self._store()
        except (OutsideError, OSError) as error:
            _log.warning("audit records of %r wait for the next start: %s", self._writer, error)
        with self._disk:
            if self._spool is not None:
                self._spool.close()
            self._spool = self._head = None

    def _write_down(self) -> None:
        with self._disk:
            self._take_buffer()
            self._write_pending()

    def _take_buffer(self) -> None:
        """Out of the buffer and clean; what is pending already could not be written, so the rest waits its turn."""
        if self._pending:
            return
        for _ in range(len(self._buffer)):
            said = self._buffer.popleft()
            try:
                self._pending.append(decide(**said))
            except Exception:
                _log.exception("evidence could not be written down")
                self._pending.append(decide(**said | {"evidence": {"evidence": "could not be written down"}}))
        with self._counting:
            lost, self._lost = self._lost, 0
        if lost:
            self._pending.append(
                decide(
                    at=self._now(), actor="pegel", action="audit.put", subject=self._writer, decision="lost",
                    reason="more decisions came than could be written down", evidence={"decisions": lost},
                )
            )  # fmt: skip

    def _write_pending(self) -> None:
        head = self._open()
        if self._pending:
            records = list(chain(self._writer, head, self._pending))
            self._take_spool().append(records)
            self._head = records[-1].sequence, records[-1].hash
            self._pending = []
            self._storing.wake()

    def _take_spool(self) -> AuditSpool:
        if self._spool is None:
            self._spool = AuditSpool(self._folder, self._writer)
        return self._spool

    def _open(self) -> Head:
        """The chain goes on behind the newest record of table and spool."""
        last = self._take_spool().last
        if self._head is None:
            rows = self._tables.read(self._table, "SELECT sequence, hash FROM t ORDER BY sequence DESC LIMIT 1")
            stored = (rows[0]["sequence"], rows[0]["hash"]) if rows else (-1, GENESIS)
            self._stored = stored[0]
            self._head = stored if last is None or last.sequence <= stored[0] else (last.sequence, last.hash)
        return self._head

    def _store(self) -> None:
        with self._storage:
            with self._disk:
                self._open()
                spool = self._take_spool()
            for records in spool.batches(self._stored, MAX_BATCH):
                self._append(self._missing(records) if self._unsure else records)
                self._unsure = False
                self._stored = records[-1].sequence
            with self._disk:
                spool.forget(self._stored)
            if self._appends >= self._compact_after:
                self._appends = 0
                self._compact()

    def _append(self, records: list[AuditRecord]) -> None:
        if not records:
            return
        rows = [to_row(record) for record in records]
        self._appends += 1
        self._unsure = True
        if not self._tables.append(self._table, rows, (f"audit-{self._writer}", records[-1].sequence)):
            missing = self._missing(records)
            if missing:
                _log.error("the table %s was changed by another than its writer; see pegel audit verify", self._table)
                self._tables.append(self._table, [to_row(record) for record in missing])

    def _compact(self) -> None:
        try:
            self._tables.compact(self._table)
        except OutsideError as error:
            _log.warning("small files stay, they are put together later: %s", error)

    def _missing(self, records: list[AuditRecord]) -> list[AuditRecord]:
        """Those that are not in the table: an append that failed may have been committed all the same."""
        found = self._tables.read(self._table, f"SELECT hash FROM t WHERE sequence >= {records[0].sequence}")
        there = {row["hash"] for row in found}
        return [record for record in records if record.hash not in there]
