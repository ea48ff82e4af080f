"""Columns of two sources as what can be compared: numbers, or codes of values. Pure, on Arrow."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MOST_VALUES = 1_000
"""So many values are counted by themselves, the most frequent of both sides; all others are counted together."""


class ColumnKind(StrEnum):
    """How a column is compared."""

    NUMERIC = "a number"
    COUNTED = "text or boolean"
    EMPTY = "without any value"
    OTHER = "of a kind that is not compared"


def kind_of(arrow_type: pa.DataType) -> ColumnKind:
    """How a column of this type is compared; a dictionary as its values are.

    Example:
        >>> str(kind_of(pa.dictionary(pa.int8(), pa.string()))), str(kind_of(pa.decimal128(9, 2)))
        ('text or boolean', 'a number')
    """
    types = pa.types
    if types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    if types.is_integer(arrow_type) or types.is_floating(arrow_type) or types.is_decimal(arrow_type):
        return ColumnKind.NUMERIC
    if types.is_boolean(arrow_type) or _is_text(arrow_type):
        return ColumnKind.COUNTED
    return ColumnKind.EMPTY if types.is_null(arrow_type) else ColumnKind.OTHER


def floats_of(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Numbers as floats, NaN where one is missing, shape ``(rows,)``.

    Example:
        >>> floats_of(pa.chunked_array([[1, None]])).tolist()
        [1.0, nan]
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The values of a column on both sides as numbers.

    Attributes:
        baseline: 0 to ``size - 1`` for each row, shape ``(m,)``; ``size - 2`` is any rarer value, ``size - 1`` a
            missing one.
        current: likewise, shape ``(n,)``.
        size: how many codes there are.
    """

    baseline: npt.NDArray[np.int64]
    current: npt.NDArray[np.int64]
    size: int


def codes_of(baseline: pa.ChunkedArray, current: pa.ChunkedArray) -> Codes:
    """Number the values of a column, the same on both sides.

    Example:
        >>> found = codes_of(pa.chunked_array([["a", "b", "a"]]), pa.chunked_array([["c", None]]))
        >>> found.baseline.tolist(), found.current.tolist(), found.size
        ([0, 1, 0], [2, 4], 5)
    """
    sides = [_encoded(side) for side in (baseline, current)]
    values = pc.unique(pa.concat_arrays([side[1] for side in sides]))
    size = len(values)
    codes = []
    for indices, dictionary in sides:
        known = np.append(pc.index_in(dictionary, value_set=values).to_numpy(zero_copy_only=False), size)
        codes.append(known[indices].astype(np.int64, copy=False))
    if size > MOST_VALUES:
        counts = sum(np.bincount(side, minlength=size + 1)[:size] for side in codes)
        place = np.full(size + 1, MOST_VALUES, dtype=np.int64)
        place[np.argsort(-counts, kind="stable")[:MOST_VALUES]] = np.arange(MOST_VALUES)
        place[size] = MOST_VALUES + 1
        return Codes(place[codes[0]], place[codes[1]], MOST_VALUES + 2)
    missing = [np.where(side == size, size + 1, side) for side in codes]
    return Codes(missing[0], missing[1], size + 2)


def _encoded(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    # Codes, -1 where a value is missing, and the values.
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.large_string()).dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    indices = whole.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return indices, whole.dictionary.cast(pa.large_string())


def microseconds_of(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Times as microseconds since 1970 UTC; a time without a zone is taken as UTC. None if they are no times.

    Example:
        >>> microseconds_of(pa.chunked_array([["1970-01-01T00:00:01Z"]])).to_pylist()
        [1000000]
        >>> microseconds_of(pa.chunked_array([[1]])) is None
        True
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type) or _is_text(column.type)):
        return None
    if _is_text(column.type):
        for zone in ("UTC", None):
            try:
                column = column.cast(pa.timestamp("us", zone))
                break
            except pa.ArrowInvalid:
                continue
        else:
            return None
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    return column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())


def _is_text(arrow_type: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type))
