"""Which events of a micro-batch are copies of erased ones: they must not come back. Edge.

Erased rows are known by digest (``schemas.erasures``), and their times are kept. So only an event whose time is that of
an erased one, to the microsecond, is looked at by itself.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas.erasures import digest_of
from pegel.streaming.ingest.index import COORDINATES
from pegel.streaming.ingest.stored import literal, spans_of
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import NAME


def erased_before(
    tables: DeltaTables, name: str, batch_id: int, ids: pa.ChunkedArray, times: pa.ChunkedArray
) -> pa.Table:
    """The keys among those given that lower micro-batches had stored and that were erased since.

    Args:
        tables: the tables below ``storage.root``.
        name: ``predictions`` or ``feedback``.
        batch_id: of this micro-batch.
        ids: of its events.
        times: of the same events.

    Returns:
        ``id, time`` of the events that are copies of erased ones.
    """
    keys = pa.table({"id": ids, "time": times})
    if not len(keys):
        return keys
    within = " OR ".join(f"time BETWEEN {literal(a)} AND {literal(b)}" for a, b in spans_of(times))
    asked = f"SELECT erasure_id, table_name, time, digest FROM t WHERE batch_id < {batch_id} AND ({within})"
    erased: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
    for piece in tables.scan(NAME, asked):
        for row in piece.to_pylist():
            if row["table_name"] == name:
                erased[row["time"]].append(row)
    if not erased:
        return keys.slice(0, 0)
    likely = keys.filter(pc.is_in(times, pa.array(erased, times.type)))
    back = [
        any(digest_of(row["erasure_id"], key["id"], key["time"]) == row["digest"] for row in erased[key["time"]])
        for key in likely.to_pylist()
    ]
    return likely.filter(pa.array(back, pa.bool_()))


def erased_letters(tables: DeltaTables, index: pa.Table, batch_id: int) -> pa.Table:
    """The refused events of a micro-batch that a lower one had stored as dead letters and that were erased since.

    A hub that is read again, under a new checkpoint, gives them at the same place.

    Args:
        tables: the tables below ``storage.root``.
        index: see :func:`pegel.streaming.ingest.index.read_index`.
        batch_id: of this micro-batch.

    Returns:
        their rows of ``index``.
    """
    dead = index.filter(pc.invert(index["fit"]))
    if not len(dead):
        return dead
    lowest, highest = (function(dead["offset"]).as_py() for function in (pc.min, pc.max))
    asked = (
        'SELECT table_name, hub, "partition", "offset" FROM t '
        f'WHERE batch_id < {batch_id} AND "offset" BETWEEN {lowest} AND {highest}'
    )
    erased = {
        tuple(row[name] for name in COORDINATES)
        for piece in tables.scan(NAME, asked)
        for row in piece.to_pylist()
        if row["table_name"] == "dead_letters"
    }
    places = zip(*(dead[name].to_pylist() for name in COORDINATES), strict=True)
    return dead.filter(pa.array([place in erased for place in places], pa.bool_()))
