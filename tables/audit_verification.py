"""Verifying a stored audit chain. Edge: reads one table, piece by piece."""

from collections.abc import Iterator, Sequence

from pegel.schemas.audit import Anchor, AuditRecord, from_row
from pegel.schemas.audit_verification import Verification
from pegel.schemas.loop_tables import audit_table
from pegel.tables.delta import DeltaTables


def verify_table(tables: DeltaTables, writer: str, anchors: Sequence[Anchor]) -> Verification:
    """Recompute the chain of a writer and compare it with what was kept elsewhere.

    A table that is not there is an empty chain.

    Raises:
        OutsideError: if the table cannot be read.
    """
    return Verification(writer, anchors).read(_records(tables, writer))


def _records(tables: DeltaTables, writer: str) -> Iterator[AuditRecord]:
    for piece in tables.scan(audit_table(writer).name, "SELECT * FROM t ORDER BY sequence"):
        for row in piece.to_pylist():
            yield from_row(row)
