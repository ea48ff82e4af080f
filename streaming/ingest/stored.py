"""What lower micro-batches stored about the events of this one, looked up by id and time. Edge.

An event says when it happened, so only files that hold such times are opened, and of these only rows with an id that is
asked for are kept: memory is bounded by the micro-batch, however long ago its events happened.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas.tables import TABLES
from pegel.tables.delta import DeltaTables

MAX_SPANS = 32
_GAP = np.timedelta64(60, "s")


def stored_before(
    tables: DeltaTables, name: str, batch_id: int, columns: Sequence[str], wanted: Mapping[str, pa.ChunkedArray]
) -> pa.Table:
    """The rows of lower micro-batches that are asked for.

    What a micro-batch itself has stored does not count, or a replayed one would find itself.

    Args:
        tables: the tables below ``storage.root``.
        name: the table.
        batch_id: of this micro-batch.
        columns: what to read of the table.
        wanted: the keys: its column of ids -> the ids, its column of times -> the times, in this order.

    Returns:
        at least all rows that have the id and the time of a key; perhaps some with an id and a time of different keys.
    """
    schema = pa.schema([TABLES[name].arrow_schema.field(column) for column in columns])
    (id_column, ids), (time_column, times) = wanted.items()
    if not len(ids):
        return schema.empty_table()
    within = " OR ".join(f"{time_column} BETWEEN {literal(a)} AND {literal(b)}" for a, b in spans_of(times))
    sql = f"SELECT {', '.join(columns)} FROM t WHERE batch_id < {batch_id} AND ({within})"
    found = []
    for piece in tables.scan(name, sql):
        rows = piece.cast(schema)
        found.append(rows.filter(pc.is_in(rows[id_column], ids)))
    return pa.concat_tables(found) if found else schema.empty_table()


def spans_of(times: pa.ChunkedArray, at_most: int = MAX_SPANS) -> list[tuple[int, int]]:
    """Few spans that hold all times, in microseconds since 1970, both ends inclusive, in order.

    Times less than a minute apart share a span. If there would be too many, the smallest gaps are bridged.

    Example:
        >>> import pyarrow as pa
        >>> spans_of(pa.chunked_array([[0, 30_000_000, 500_000_000]], pa.timestamp("us")))
        [(0, 30000000), (500000000, 500000000)]
        >>> spans_of(pa.chunked_array([[0, 100_000_000, 500_000_000]], pa.timestamp("us")), at_most=2)
        [(0, 100000000), (500000000, 500000000)]
    """
    ordered = np.unique(times.to_numpy())
    gaps = np.diff(ordered)
    cuts = np.flatnonzero(gaps > _GAP)
    if len(cuts) >= at_most:
        cuts = np.sort(cuts[np.argsort(gaps[cuts], kind="stable")[::-1][: at_most - 1]])
    first, last = np.append(0, cuts + 1), np.append(cuts, len(ordered) - 1)
    micros = ordered.astype("int64")
    return [(int(a), int(b)) for a, b in zip(micros[first], micros[last], strict=True)]


def literal(micros: int) -> str:
    """A time, in microseconds since 1970, as a literal for a query on a table."""
    return f"arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
