"""Delta tables through ``deltalake``: for every process that has no JVM. Edge.

A process appends to its own tables only. Reads go through the query engine, which also reads deletion vectors.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pegel.errors import OutsideError, PegelError
from pegel.schemas.tables import table_of
from pegel.tables.evolution import add_missing_columns, bring_properties, with_columns_of

Row = dict[str, Any]

StorageOptions = Mapping[str, str] | Callable[[], Mapping[str, str]]

COMPACT_BYTES = 32 * 1024 * 1024
"""Files of this size are left alone when small ones are put together."""

_APPENDS = 5
_TAKEN_AWAY = "a concurrent transaction deleted data"


class DeltaTables:
    """The tables below one ``storage.root``.

    Args:
        root: a folder or a URI; each table lies below it by its name.
        storage_options: passed to ``deltalake``, e.g. credentials for ``abfss://``; or what gives them, and is asked
            each time, since a token has an end. See :mod:`pegel.tables.access`.
    """

    def __init__(self, root: str, storage_options: StorageOptions = MappingProxyType({})) -> None:
        self._root = root.rstrip("/")
        self._storage_options = storage_options
        self._open_with: dict[str, str] = {}
        self._open: dict[str, DeltaTable] = {}
        self._lock = threading.Lock()

    @property
    def root(self) -> str:
        """The folder or URI below which they lie."""
        return self._root

    def uri(self, name: str) -> str:
        """Where the table lies."""
        return f"{self._root}/{table_of(name).name}"

    def exists(self, name: str) -> bool:
        """Whether the table has been created."""
        return DeltaTable.is_deltatable(self.uri(name), storage_options=self._options())

    def create(self, name: str) -> None:
        """Create the table with its schema, or add what it lacks of columns and properties; for who writes it.

        A second process that does the same is no error, and a table that is as it should be gets no commit.

        Raises:
            ContractError: if the table is there and more is different than that columns are missing; see
                :mod:`pegel.tables.evolution`.
            OutsideError: if the storage refuses.
        """
        there = self._writable(name)
        with self._asking("set properties of", name):
            bring_properties(table_of(name), there)

    def version(self, name: str) -> int:
        """The table's newest version, -1 if it is not there. Cheap: a reader can skip a table that did not move.

        Raises:
            OutsideError: if the storage fails.
        """
        table = self._newest(name)
        return -1 if table is None else int(table.version())

    def columns(self, name: str) -> frozenset[str]:
        """The columns that the table has as it stands: one that an older version made may lack some; none if not there.

        Raises:
            OutsideError: if the storage fails.
        """
        table = self._newest(name)
        return frozenset() if table is None else frozenset(field.name for field in table.schema().fields)

    def append(self, name: str, rows: Sequence[Mapping[str, Any]], transaction: tuple[str, int] | None = None) -> bool:
        """Append rows, at most once for a transaction.

        Args:
            name: the table; it is created, and gets the columns that it lacks, see :meth:`create`.
            rows: one mapping a row; absent nullable columns become null.
            transaction: (application id, version): if the table already holds this version or a higher one of this
                application, nothing is written.

        Returns:
            whether anything was written.

        Raises:
            ContractError: see :meth:`create`.
            OutsideError: if the storage refuses.
        """
        if not rows:
            return False
        schema = table_of(name).arrow_schema
        data = pa.Table.from_pylist([_ordered(row, schema) for row in rows], schema=schema)
        return self.append_arrow(name, data, transaction)

    def append_arrow(self, name: str, data: pa.Table, transaction: tuple[str, int] | None = None) -> bool:
        """The same for a pyarrow table that has the table's own schema."""
        if not data.num_rows:
            return False
        data = with_columns_of(data, self._writable(name))
        with self._asking("append to", name):
            for _ in range(_APPENDS):
                try:
                    return self._append_once(name, data, transaction)
                except CommitFailedError as error:
                    # An append read no row, and still deltalake lets it not pass one that takes rows away.
                    if _TAKEN_AWAY not in str(error):
                        raise
            return self._append_once(name, data, transaction)

    def _append_once(self, name: str, data: pa.Table, transaction: tuple[str, int] | None) -> bool:
        target: str | DeltaTable = self.uri(name)
        properties = None
        if transaction is not None:
            # The commit is of the very snapshot that was asked: if another process commits the same transaction in
            # between, Delta refuses this one.
            target = DeltaTable(self.uri(name), storage_options=self._options())
            done = target.transaction_version(transaction[0])
            if done is not None and done >= transaction[1]:
                return False
            properties = CommitProperties(app_transactions=[Transaction(*transaction)])
        write_deltalake(target, data, mode="append", commit_properties=properties, storage_options=self._options())
        return True

    def compact(self, name: str) -> None:
        """Put small files together and let go of those that no reader can need any more; rows stay as they are.

        For the one process that writes the table.

        Raises:
            OutsideError: if the storage fails.
        """
        with self._asking("compact", name):
            table = DeltaTable(self.uri(name), storage_options=self._options())
            table.optimize.compact(target_size=COMPACT_BYTES)
            table.vacuum(dry_run=False)

    def last_transaction(self, name: str, app_id: str) -> int:
        """The highest version that an application has committed to the table, -1 if none; whoever wrote it."""
        table = self._newest(name)
        done = None if table is None else table.transaction_version(app_id)
        return -1 if done is None else int(done)

    def read(self, name: str, sql: str = "SELECT * FROM t") -> list[Row]:
        """Run a query on one table, which is called ``t`` in it. A table that is not there gives no rows.

        Never put text from outside into ``sql``: filter in Python, or pass numbers.

        Raises:
            OutsideError: if the storage fails.
        """
        rows: list[Row] = self.read_arrow(name, sql).to_pylist(maps_as_pydicts="strict")
        return rows

    def read_arrow(self, name: str, sql: str = "SELECT * FROM t") -> pa.Table:
        """The same as a pyarrow table."""
        table = self._newest(name)
        if table is None:
            return table_of(name).arrow_schema.empty_table()
        # A query that makes no sense is refused here, and is no fault of the storage.
        found = QueryBuilder().register("t", table).execute(sql)
        with self._asking("read", name):
            return pa.table(found.read_all())

    def scan(self, name: str, sql: str) -> Iterator[pa.Table]:
        """The same piece by piece, for what may not fit into memory; a table that is not there gives none."""
        table = self._newest(name)
        if table is None:
            return
        found = QueryBuilder().register("t", table).execute(sql)
        with self._asking("read", name):
            for batch in found:
                yield pa.table(batch)

    def _writable(self, name: str) -> DeltaTable:
        """The table as it stands now, made or brought to what this version writes."""
        table = table_of(name)
        there = self._newest(name)
        if there is None:
            with self._asking("create", name):
                DeltaTable.create(
                    self.uri(name),
                    table.arrow_schema,
                    mode="ignore",
                    configuration=table.properties or None,
                    storage_options=self._options(),
                )
                there = DeltaTable(self.uri(name), storage_options=self._options())
        with self._asking("add columns to", name):
            add_missing_columns(table, there)
        return there

    @contextmanager
    def _asking(self, what: str, name: str) -> Iterator[None]:
        try:
            yield
        except PegelError:
            raise
        # A file that cannot be read is an Exception of no kind of its own.
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            msg = f"could not {what} the table {name!r} under {self._root}: {first}; check the storage and try again"
            raise OutsideError(msg) from error

    def _newest(self, name: str) -> DeltaTable | None:
        """The table as it stands now; an open one only reads the commits that it has not seen."""
        with self._lock, self._asking("open", name):
            options = self._options()
            if options != self._open_with:
                # An open table keeps the token that it was opened with.
                self._open_with = options
                self._open.clear()
            table = self._open.get(name)
            try:
                if table is None:
                    table = self._open[name] = DeltaTable(self.uri(name), storage_options=options)
                else:
                    table.update_incremental()
            except TableNotFoundError:
                self._open.pop(name, None)
                return None
            except DeltaError:
                # A reader that slept longer than the log is kept has lost the thread: read the table from its start.
                table = self._open[name] = DeltaTable(self.uri(name), storage_options=options)
            return table

    def _options(self) -> dict[str, str]:
        given = self._storage_options
        return dict(given() if callable(given) else given)


def _ordered(row: Mapping[str, Any], schema: pa.Schema) -> Row:
    unknown = set(row) - set(schema.names)
    if unknown:
        msg = f"no such column: {sorted(unknown)}; the table has {schema.names}"
        raise KeyError(msg)
    return {name: row.get(name) for name in schema.names}
