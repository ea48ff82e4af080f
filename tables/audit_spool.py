"""A writer's newest audit records on the disk of this machine, until they are in the table. Edge.

One JSON line a record, on disk before it counts as recorded. A process that was killed while it wrote leaves a cut-off
line, which was never chained to anything and is dropped. The last record stays here even when it is in the table, so
that the chain goes on from it if somebody cuts the table off while no process runs.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pegel.errors import SettingsError
from pegel.schemas.audit import AuditRecord, from_row, to_row

_log = logging.getLogger(__name__)


class AuditSpool:
    """The spool of one writer, held by one process at a time.

    Args:
        folder: is created.
        writer: whose records.

    Attributes:
        last: the newest record in it, None if there is none.

    Raises:
        SettingsError: if another process of this machine holds it, or the folder cannot be written.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self._path = folder / f"{writer}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take(folder / f"{writer}.lock", writer)
            self._file = self._path.open("ab+")
        except OSError as error:
            msg = f"the audit spool {self._path} cannot be written: {error.strerror}; check audit.spool"
            raise SettingsError(msg) from error
        self.last: AuditRecord | None = None
        self._stored_bytes = 0
        self._recall()

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Have records on disk.

        Raises:
            OSError: if the disk refuses; nothing of them counts then.
        """
        end = self._file.seek(0, os.SEEK_END)
        lines = "".join(json.dumps(to_row(record), default=datetime.isoformat) + "\n" for record in records)
        try:
            self._file.write(lines.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise
        self.last = records[-1]

    def batches(self, above: int, size: int) -> Iterator[list[AuditRecord]]:
        """The records with a number above ``above``, oldest first, at most ``size`` at a time."""
        waiting = (record for record in self._read(self._stored_bytes) if record.sequence > above)
        while batch := list(islice(waiting, size)):
            yield batch

    def forget(self, up_to: int) -> None:
        """Records up to this number are in the table; all but the last one go when none waits.

        Raises:
            OSError: if the disk refuses.
        """
        if self.last is None or self.last.sequence > up_to or self._path.stat().st_size == self._stored_bytes:
            return
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(to_row(self.last), default=datetime.isoformat) + "\n", encoding="utf-8")
        temporary.replace(self._path)
        self._file.close()
        self._file = self._path.open("ab+")
        self._stored_bytes = self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Let another process have it."""
        self._file.close()
        self._lock.close()

    def _recall(self) -> None:
        size = 0
        for line in self._lines(0):
            size += len(line)
        if size < self._file.seek(0, os.SEEK_END):
            self._file.truncate(size)
        for record in self._read(0):
            self.last = record

    def _read(self, start: int) -> Iterator[AuditRecord]:
        for line in self._lines(start):
            try:
                row = json.loads(line)
                yield from_row(row | {"at": datetime.fromisoformat(row["at"])})
            except (ValueError, KeyError, TypeError):
                _log.error("a line of the audit spool %s is no record; pegel audit verify will miss it", self._path)

    def _lines(self, start: int) -> Iterator[bytes]:
        """Whole lines only."""
        with self._path.open("rb") as file:
            file.seek(start)
            for line in file:
                if line.endswith(b"\n"):
                    yield line


def _take(path: Path, writer: str) -> IO[Any]:
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        msg = (
            f"another process writes the audit table of {writer!r} (it holds {path}); stop it, or give this one a "
            "writer of its own"
        )
        raise SettingsError(msg) from None
    return lock
