"""The heads of all audit chains as the tables hold them now. Edge: reads, never writes."""

from collections.abc import Iterable

from pegel.schemas.audit import Head
from pegel.schemas.loop_tables import audit_table
from pegel.tables.delta import DeltaTables


class AuditHeads:
    """Cheap to ask often: a table that did not move is not read, and of one that did, only what is new. One thread.

    Args:
        tables: where the audit tables lie.
        writers: whose.
    """

    def __init__(self, tables: DeltaTables, writers: Iterable[str]) -> None:
        self._tables = tables
        self._names = {writer: audit_table(writer).name for writer in writers}
        self._versions: dict[str, int] = {}
        self._heads: dict[str, Head] = {}

    def read(self) -> dict[str, Head]:
        """Writer -> number and hash of its last record; writers without a record are left out.

        Raises:
            OutsideError: if a table cannot be read.
        """
        for writer, name in self._names.items():
            version = self._tables.version(name)
            if version >= 0 and version != self._versions.get(writer):
                known = self._heads.get(writer, (0, ""))[0]
                rows = self._tables.read(
                    name, f"SELECT sequence, hash FROM t WHERE sequence >= {known} ORDER BY sequence DESC LIMIT 1"
                )
                # A table that has become shorter gives none: what it held before is what has to be kept.
                if rows:
                    self._heads[writer] = rows[0]["sequence"], rows[0]["hash"]
                self._versions[writer] = version
        return dict(self._heads)
