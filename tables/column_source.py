"""The columns of a file or of any Delta table, one at a time. Edge: reads Parquet, CSV, JSON Lines and Delta.

No Spark, and no table of Pegel's own: for those see :mod:`pegel.tables.delta`.
"""

import difflib
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from pegel.errors import OutsideError, SettingsError

Options = Callable[[], Mapping[str, str]]

_KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
_PACKED = (".gz", ".bz2", ".zst")
_FIRST_LOOK = 64 * 1024 * 1024
"""The types of a CSV or JSON file are taken from so many bytes of it."""


class ColumnSource(Protocol):
    """Rows in a fixed order, read column by column."""

    @property
    def name(self) -> str:
        """What was given: a path or a URI."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of all columns."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    def column(self, name: str) -> pa.ChunkedArray:
        """The values of one column, in the order of the rows. Threads may call it at the same time."""


def open_columns(place: str, options: Options = dict) -> ColumnSource:
    """Open a file, or a Delta table as it stands now.

    A name that ends with ``.parquet``, ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` or ``.json`` is such a file (all but
    Parquet also packed: ``.gz``, ``.bz2``, ``.zst``); a folder with ``_delta_log`` or a URI is a Delta table. CSV and
    JSON Lines are read whole when opened; Delta when its first column is asked for, in no order that can be told.

    Args:
        place: a path or a URI.
        options: gives what opens the storage of a URI.

    Raises:
        SettingsError: if there is nothing, or not what the name says; the sentence says what to do.
        OutsideError: if a storage fails.
    """
    if "://" in place and urlsplit(place).scheme != "file":
        return _DeltaColumns(place, options)
    path = Path(place.removeprefix("file://"))
    if (path / "_delta_log").is_dir():
        return _DeltaColumns(str(path), options, name=place)
    if not path.exists():
        msg = f"{place} does not exist; give a Parquet, CSV or JSON Lines file, or a Delta table"
        raise SettingsError(msg)
    if path.is_dir():
        msg = f"{place} is a folder without _delta_log, so no Delta table; give a Delta table or one file"
        raise SettingsError(msg)
    kind = _file_kind(path)
    if kind is None:
        msg = f"{place} has an unknown kind; its name must end with one of {', '.join(_KINDS)}"
        raise SettingsError(msg)
    try:
        return _ParquetColumns(path, place) if kind == "parquet" else _read_text_file(path, kind, place)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        msg = f"{place} could not be read as {kind}: {_first_line(error)}; check that its content fits its name"
        raise SettingsError(msg) from error


def _file_kind(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def column_of(source: ColumnSource, name: str) -> pa.ChunkedArray:
    """A column by its name.

    Raises:
        SettingsError: if there is none, or its bytes are broken; the nearest name is said.
    """
    if name not in source.schema.names:
        near = difflib.get_close_matches(name, source.schema.names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, source.schema.names[:20]))}"
        msg = f"there is no column {name!r} in {source.name}; {hint}"
        raise SettingsError(msg)
    try:
        return source.column(name)
    except (pa.ArrowException, OSError) as error:
        msg = f"the column {name!r} of {source.name} could not be read: {_first_line(error)}; check the file"
        raise SettingsError(msg) from error


class _ParquetColumns:
    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.schema = pq.read_schema(path)
        _check_names(self.schema.names, name)
        texts = [field.name for field in self.schema if _is_text(field.type)]
        # Texts come as codes and a dictionary: what is counted is there, and repeated texts take no memory.
        self._file = pq.ParquetFile(path, read_dictionary=texts)
        self.rows: int = self._file.metadata.num_rows
        self._lock = threading.Lock()

    def column(self, name: str) -> pa.ChunkedArray:
        with self._lock:
            return self._file.read(columns=[name]).column(name)


class _TableColumns:
    def __init__(self, table: pa.Table, name: str) -> None:
        self.name, self.schema, self.rows, self._table = name, table.schema, table.num_rows, table
        _check_names(table.schema.names, name)

    def column(self, name: str) -> pa.ChunkedArray:
        return self._table.column(name)


class _DeltaColumns:
    """One snapshot, read at once: two readings need not give the rows in the same order."""

    def __init__(self, uri: str, options: Options, name: str | None = None) -> None:
        from deltalake import DeltaTable

        self.name = name or uri
        self._table = self._asked(lambda: DeltaTable(uri, storage_options=dict(options()) or None))
        self.schema = pa.schema(self._asked(lambda: self._table.schema().to_arrow()))
        self._read: pa.Table | None = None
        self._lock = threading.Lock()

    @property
    def rows(self) -> int:
        return int(self._all().num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        return self._all().column(name)

    def _all(self) -> pa.Table:
        from deltalake import QueryBuilder

        with self._lock:
            if self._read is None:
                # The engine reads deletion vectors too; a column's name never becomes a part of the query.
                query = QueryBuilder().register("t", self._table).execute("SELECT * FROM t")
                self._read = pa.table(self._asked(query.read_all))
            return self._read

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        # A file that cannot be read is an Exception of no kind of its own.
        except Exception as error:
            msg = f"the Delta table {self.name} could not be read: {_first_line(error)}; check its place and the access"
            raise OutsideError(msg) from error


def _read_text_file(path: Path, kind: str, name: str) -> ColumnSource:
    read = _read_csv if kind == "csv" else _read_json
    try:
        table = read(path, _FIRST_LOOK)
    except pa.ArrowInvalid:
        # A type that shows only further down: look at all of it.
        size = path.stat().st_size
        if size <= _FIRST_LOOK and path.suffix not in _PACKED:
            raise
        table = read(path, min(2**31 - 1, 20 * size + _FIRST_LOOK))
    return _TableColumns(table, name)


def _read_csv(path: Path, block: int) -> pa.Table:
    from pyarrow import csv

    if not path.stat().st_size:
        return pa.table({})
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(block_size=block),
        parse_options=csv.ParseOptions(delimiter="\t" if ".tsv" in path.suffixes else ",", newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True),
    )


def _read_json(path: Path, block: int) -> pa.Table:
    from pyarrow import json

    if not path.stat().st_size:
        return pa.table({})
    with pa.input_stream(str(path)) as stream:
        return json.read_json(stream, read_options=json.ReadOptions(block_size=block))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_names(names: Iterable[str], place: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            msg = f"{place} has the column {name!r} twice; give each column a name of its own"
            raise SettingsError(msg)
        seen.add(name)


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line[:200].rstrip(".;: ")
