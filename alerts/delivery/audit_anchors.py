"""Heads of audit chains as they left with alerts, read from ``deliveries``. Edge."""

from pegel.schemas.audit import Anchor, read_heads
from pegel.tables.delta import DeltaTables


def read_anchors(tables: DeltaTables) -> dict[str, list[Anchor]]:
    """Writer -> everything that left about its chain.

    Raises:
        OutsideError: if the table cannot be read.
    """
    found: dict[str, list[Anchor]] = {}
    # Tables of before have no such column.
    for row in tables.read("deliveries"):
        source = f"the alert {row['alert_id']} (attempt {row['attempt']} to {row['sink']})"
        for writer, head in read_heads(row.get("audit_heads") or "").items():
            found.setdefault(writer, []).append(Anchor(*head, source))
    return found
