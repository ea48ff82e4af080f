"""Which events were seen before: in this micro-batch or in a lower one. Pure: Arrow → Arrow.

A copy carries the same id and the same time as its original.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pegel.streaming.ingest.index import COORDINATES, KEY
from pegel.streaming.ingest.parse import RECORD

_IS_NEW = "is_new"


def without_copies(index: pa.Table, stored: Mapping[str, pa.Table]) -> tuple[pa.Table, pa.Table]:
    """Part the fit events of a micro-batch from the copies among them.

    Args:
        index: see :func:`pegel.streaming.ingest.index.read_index`.
        stored: record -> ``id, time`` of events of that kind that lower micro-batches stored; others do no harm.

    Returns:
        the new events and the copies, with the columns of ``index``. Of several events with one key the first in the
        hub is new, none if a lower micro-batch stored it.
    """
    fit = index.filter(index["fit"])
    new = fit.append_column(_IS_NEW, pa.repeat(pa.scalar(True), len(fit)))
    old = [_as_index(record, keys) for record, keys in stored.items() if len(keys)]
    # What is stored has no coordinates here and stands before what is new, so each copy stands behind its original.
    rows = pa.concat_tables([new, *old], promote_options="default")
    rows = rows.sort_by([(name, "ascending") for name in (*KEY, _IS_NEW, *COORDINATES)]).combine_chunks()
    is_repeated = _same_as_before(rows, KEY)
    is_new = pc.and_not(rows[_IS_NEW], is_repeated)
    is_copy = pc.and_(rows[_IS_NEW], is_repeated)
    return rows.filter(is_new).select(index.column_names), rows.filter(is_copy).select(index.column_names)


def _as_index(record: str, keys: pa.Table) -> pa.Table:
    size = len(keys)
    columns = [pa.repeat(record, size), keys["id"], keys["time"], pa.repeat(pa.scalar(False), size)]
    return pa.table(columns, names=[RECORD, "id", "time", _IS_NEW])


def _same_as_before(rows: pa.Table, columns: Sequence[str]) -> pa.Array:
    """For each row whether it has the values of the row before it; the first has none before it."""
    if not len(rows):
        return pa.array([], pa.bool_())
    same = pa.repeat(pa.scalar(True), len(rows) - 1)
    for name in columns:
        column = rows[name].combine_chunks()
        same = pc.and_(same, pc.equal(column.slice(1), column.slice(0, len(same))))
    return pa.concat_arrays([pa.array([False]), same])
