"""What only the process that owns tables may do with them: make rows and their bytes go, and keep files beside. Edge.

Deleting takes time travel with it: afterwards the log begins at its newest version. A reader that is within a query
at that moment may find a file gone; it fails with an :class:`OutsideError`, and reads the newest version next time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector, FileType, PyFileSystem

from pegel.schemas.tables import table_of
from pegel.tables.delta import DeltaTables

Place = tuple[int, str, str, int]
"""(batch_id, hub, partition, offset): what names one row of ``predictions``, ``feedback`` or ``dead_letters``."""

PLACES_IN_ONE_COMMIT = 500
_VERSION_DIGITS = 20


class OwnedTables(DeltaTables):
    """The tables below one ``storage.root``, for their owner."""

    def delete(self, name: str, places: Iterable[Place]) -> int:
        """Delete rows; those that are not there any more do no harm. Gives how many were deleted.

        The predicate, which Delta's log keeps, names places and no content.

        Raises:
            OutsideError: if the storage fails; what is done stays done.
        """
        deleted = 0
        ordered = sorted(set(places))
        for start in range(0, len(ordered), PLACES_IN_ONE_COMMIT):
            some = ordered[start : start + PLACES_IN_ONE_COMMIT]
            with self._asking("erase rows of", name):
                found = self._opened(name).delete(_predicate(some))
            deleted += found.get("num_deleted_rows") or 0
        return deleted

    def forget(self, name: str) -> None:
        """Let go of every file that the table's newest version does not need, and of the log before it.

        The log's entries hold the lowest and highest values of files that are gone.

        Raises:
            OutsideError: if the storage fails; what is done stays done.
        """
        if self.version(name) < 0:
            return
        with self._asking("clear", name):
            table = self._opened(name)
            wanted = table_of(name).properties
            if any(table.metadata().configuration.get(key) != value for key, value in wanted.items()):
                # An older table indexes texts, too.
                table.alter.set_table_properties(wanted)
            table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
            table = self._opened(name)
            table.create_checkpoint()
            log = f"{name}/_delta_log"
            for path in self.files_below(log):
                version = path.rpartition("/")[2].lstrip(".")[:_VERSION_DIGITS]
                if version.isdecimal() and int(version) < table.version():
                    self.delete_file(path)

    def files_below(self, folder: str) -> list[str]:
        """The paths of all files in a folder below the root and in its folders; none if it is not there."""
        found = self._files().get_file_info(FileSelector(folder, recursive=True, allow_not_found=True))
        return sorted(info.path for info in found if info.type == FileType.File)

    def open_file(self, path: str) -> pa.NativeFile:
        """Open a file for reading at any place.

        Raises:
            FileNotFoundError: if it is not there.
        """
        return self._files().open_input_file(path)

    def read_json(self, path: str) -> Mapping[str, Any] | None:
        """The object that a small file holds; None if it is not there or half written."""
        try:
            with self._files().open_input_file(path) as file:
                found: Mapping[str, Any] = json.loads(file.read())
                return found
        except (FileNotFoundError, ValueError):
            return None

    def write_file(self, path: str, content: str) -> None:
        """Write a small file whole, or put it in the place of the old one.

        Raises:
            OutsideError: if the storage refuses.
        """
        with self._asking("write beside", path), self._files().open_output_stream(path) as file:
            file.write(content.encode())

    def delete_file(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        try:
            self._files().delete_file(path)
        except FileNotFoundError:
            return

    def _opened(self, name: str) -> DeltaTable:
        return DeltaTable(self.uri(name), storage_options=self._options())

    def _files(self) -> PyFileSystem:
        if "://" not in self._root:
            # A stream that starts for the first time looks for its lease before there is any table.
            Path(self._root).mkdir(parents=True, exist_ok=True)
        return PyFileSystem(_Handler(self._root, self._options()))


class _Handler(DeltaStorageHandler):
    """Its own stream takes bytes, pyarrow hands it buffers."""

    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        return pa.PythonFile(_Bytes(self._handler.open_output_stream(path, metadata)), mode="w")


class _Bytes:
    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.closed = False

    def write(self, data: Any) -> int:
        return int(self._inner.write(bytes(data)))

    def flush(self) -> None:
        self._inner.flush()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._inner.close()


def _predicate(places: Iterable[Place]) -> str:
    return " OR ".join(_parts(places))


def _parts(places: Iterable[Place]) -> Iterator[str]:
    offsets: dict[tuple[int, str, str], list[int]] = {}
    for batch_id, hub, partition, offset in places:
        offsets.setdefault((batch_id, hub, partition), []).append(offset)
    for (batch_id, hub, partition), found in offsets.items():
        listed = ", ".join(map(str, found))
        where = f'batch_id = {batch_id} AND hub = {_quoted(hub)} AND "partition" = {_quoted(partition)}'
        yield f'({where} AND "offset" IN ({listed}))'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
