"""Every Delta table of Pegel, by its name: the one place to look a table up. Pure.

Each table lies under ``storage.root`` by its name. One process writes a table; all else only reads it.
Rows are only ever appended. Times are UTC. A key never holds anything random or read from a clock.
The tables themselves stand in ``stream_tables`` and ``loop_tables``.
"""

from pegel.schemas.columns import Table
from pegel.schemas.erasures import ERASURES
from pegel.schemas.loop_tables import (
    AUDIT_PREFIX,
    BASELINES,
    DELIVERIES,
    GRIDS,
    PIPELINE_ALERTS,
    PROMOTIONS,
    REQUEUES,
    RETRAININGS,
    SILENCES,
    WEBHOOK_CALLS,
    audit_table,
)
from pegel.schemas.stream_tables import (
    ALERTS,
    BATCHES,
    BLOCKS,
    DEAD_LETTERS,
    FEEDBACK,
    GAPS,
    METRICS,
    PREDICTIONS,
    PROFILES,
)

__all__ = ["ALERTS", "BATCHES", "PROFILES", "STREAM_TABLES", "TABLES", "table_of"]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        PREDICTIONS,
        FEEDBACK,
        DEAD_LETTERS,
        PROFILES,
        BATCHES,
        GAPS,
        ERASURES,
        GRIDS,
        BASELINES,
        BLOCKS,
        METRICS,
        ALERTS,
        PIPELINE_ALERTS,
        DELIVERIES,
        WEBHOOK_CALLS,
        SILENCES,
        RETRAININGS,
        PROMOTIONS,
        REQUEUES,
    )
}

"""Every table with a fixed name; audit tables are named after their writers, see :func:`table_of`."""

STREAM_TABLES = tuple(name for name, table in TABLES.items() if table.writer == "stream")


def table_of(name: str) -> Table:
    """The table of this name, audit tables included.

    Raises:
        KeyError: if there is no such table.
        ContractError: if it is an audit table whose writer has no proper name.

    Example:
        >>> table_of("alerts").key, table_of("audit_events_serve").writer
        (('alert_id',), 'serve')
    """
    if name.startswith(AUDIT_PREFIX):
        return audit_table(name.removeprefix(AUDIT_PREFIX))
    return TABLES[name]
