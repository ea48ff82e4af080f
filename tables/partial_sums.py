"""Rows of ``profiles`` added up to one for each minute and key: whole columns of Arrow, integers only. Pure.

The same as :func:`pegel.schemas.partials.total` of the rows, for so many that a loop over them would take hours.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas.partials import MERGED_SECONDS
from pegel.schemas.tables import PROFILES

Ints = npt.NDArray[np.int64]

_KEY = ("window_start", "window_s", "kind", "model", "version", "segment", "grid")
_MICROS = 1_000_000


def add_up(rows: pa.Table) -> pa.Table:
    """Add rows of ``profiles`` up, those of all micro-batches together.

    A window that divides a minute counts into its minute; any other stays as long as it is. What is left out of a map
    is 0. The sum has the highest ``batch_id`` of what is in it, which is the revision of its window.

    Args:
        rows: with the columns of ``profiles``, in any order.

    Returns:
        one row for each model, version, segment, window, grid and kind, in order of the windows.

    Example:
        >>> from datetime import UTC, datetime
        >>> at = lambda second: datetime(2026, 11, 25, 3, 0, second, tzinfo=UTC)
        >>> key = {"model": "m", "version": "1", "segment": "*", "window_s": 10, "grid": "g", "kind": "live"}
        >>> counted = {"counts": {"events": 2}, "numeric": {}, "categorical": {"output": {"a": 2}}}
        >>> rows = [key | counted | {"window_start": at(s), "batch_id": s, "first_enqueued": at(s),
        ...     "last_enqueued": at(s)} for s in (10, 40)]
        >>> (row,) = add_up(pa.Table.from_pylist(rows, schema=PROFILES.arrow_schema)).to_pylist()
        >>> row["window_start"].second, row["window_s"], row["batch_id"], row["counts"], row["categorical"]
        (0, 60, 40, [('events', 4)], [('output', [('a', 4)])])
    """
    rows = _to_minutes(rows.select(PROFILES.names).cast(PROFILES.arrow_schema).combine_chunks())
    if not rows.num_rows:
        return rows
    group, first = _groups([_column(rows, name) for name in _KEY])
    highest = pa.table({"group": group}).append_column("batch_id", rows["batch_id"])
    for name in ("first_enqueued", "last_enqueued"):
        highest = highest.append_column(name, rows[name])
    asked = [("batch_id", "max"), ("first_enqueued", "min"), ("last_enqueued", "max")]
    ends = highest.group_by("group").aggregate(asked).sort_by("group")
    sums = rows.take(pa.array(first)).select(_KEY)
    for name, how in asked:
        sums = sums.append_column(name, ends[f"{name}_{how}"])
    n = len(first)
    sums = sums.append_column("counts", _counts(_column(rows, "counts"), group, n))
    sums = sums.append_column("numeric", _numeric(_column(rows, "numeric"), group, n))
    sums = sums.append_column("categorical", _categorical(_column(rows, "categorical"), group, n))
    return sums.select(PROFILES.names).cast(PROFILES.arrow_schema)


def _to_minutes(rows: pa.Table) -> pa.Table:
    length = rows["window_s"].to_numpy().astype(np.int64)
    length = np.where(MERGED_SECONDS % length == 0, MERGED_SECONDS, length)
    start = pc.cast(rows["window_start"], pa.int64()).to_numpy()
    schema, starts = rows.schema, pa.array(start - start % (length * _MICROS))
    at = {name: schema.get_field_index(name) for name in ("window_start", "window_s")}
    rows = rows.set_column(at["window_start"], schema.field("window_start"), pc.cast(starts, pa.timestamp("us", "UTC")))
    return rows.set_column(at["window_s"], schema.field("window_s"), pa.array(length, pa.int32()))


def _groups(columns: Sequence[pa.Array]) -> tuple[Ints, Ints]:
    """Row -> its group, in the order of the first column; group -> one of its rows."""
    group = np.zeros(len(columns[0]), np.int64)
    first = group
    for column in columns:
        names, codes = _codes(column)
        _, first, group = np.unique(group * len(names) + codes, return_index=True, return_inverse=True)
    return group, first


def _codes(values: pa.Array) -> tuple[pa.Array, Ints]:
    """The different values in order, and the place of each value among them."""
    names = values.unique()
    names = names.take(pc.sort_indices(names))
    return names, pc.index_in(values, names).to_numpy(zero_copy_only=False).astype(np.int64)


def _counts(maps: pa.MapArray, group: Ints, n: int) -> pa.MapArray:
    parents, names, values = _entries(maps)
    return _summed(group[parents], names, values, n)


def _categorical(maps: pa.MapArray, group: Ints, n: int) -> pa.MapArray:
    parents, columns, inner = _entries(maps)
    outer, offsets, names = _columns(group[parents], columns, n)
    return pa.MapArray.from_arrays(offsets, names, _counts(inner, outer, len(names)))


def _numeric(maps: pa.MapArray, group: Ints, n: int) -> pa.MapArray:
    parents, columns, inner = _entries(maps)
    outer, offsets, names = _columns(group[parents], columns, n)
    cells = _counts(inner.field("cells"), outer, len(names))
    sums = [_added(outer, inner.field(name), len(names)) for name in ("sum_q", "sum_q2")]
    return pa.MapArray.from_arrays(
        offsets, names, pa.StructArray.from_arrays([cells, *map(pa.array, sums)], ["cells", "sum_q", "sum_q2"])
    )


def _columns(group: Ints, columns: pa.Array, n: int) -> tuple[Ints, pa.Array, pa.Array]:
    """Entry -> which of all (group, column) it is of; where each group begins among these; the column of each."""
    names, codes = _codes(columns)
    found, outer = np.unique(group * max(len(names), 1) + codes, return_inverse=True)
    return outer, _offsets(found // max(len(names), 1), n), names.take(pa.array(found % max(len(names), 1)))


def _summed(group: Ints, keys: pa.Array, values: pa.Array, n: int) -> pa.MapArray:
    """A map for each group: key -> sum of its values, in order of keys, zeros left out."""
    which, offsets, names = _columns(group, keys, n)
    sums = _added(which, values, len(names))
    kept = np.flatnonzero(sums)
    # How many are kept before each place.
    before = np.searchsorted(kept, np.asarray(offsets))
    return pa.MapArray.from_arrays(
        pa.array(before, pa.int32()), names.take(pa.array(kept)), pa.array(sums[kept], pa.int64())
    )


def _added(which: Ints, values: pa.Array, n: int) -> Ints:
    sums = np.zeros(n, np.int64)
    np.add.at(sums, which, pc.fill_null(values, 0).to_numpy(zero_copy_only=False))
    return sums


def _offsets(groups: Ints, n: int) -> pa.Array:
    return pa.array(np.searchsorted(groups, np.arange(n + 1)), pa.int32())


def _entries(maps: pa.MapArray) -> tuple[Ints, pa.Array, pa.Array]:
    """Entry -> the row that it is of; the keys; the values."""
    kind = pa.struct([pa.field("key", maps.type.key_type, nullable=False), pa.field("value", maps.type.item_type)])
    lists = maps.cast(pa.list_(kind))
    entries = pc.list_flatten(lists)
    parents = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    return parents, pc.struct_field(entries, [0]), pc.struct_field(entries, [1])


def _column(rows: pa.Table, name: str) -> pa.Array:
    column = rows[name]
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
