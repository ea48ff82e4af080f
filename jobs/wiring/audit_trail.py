"""How a job gets its audit trail. Wiring."""

from pegel.conf.settings import Settings
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables


def build_trail(settings: Settings, tables: DeltaTables, writer: str) -> AuditTrail:
    """The trail of ``writer``; it has still to be started."""
    return AuditTrail(
        tables,
        writer,
        settings.audit_spool,
        append_seconds=settings.audit.append_seconds,
        max_buffered=settings.audit.max_buffered_decisions,
    )
