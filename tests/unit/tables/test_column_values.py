"""Values keep their identity as codes and floats, whichever way Arrow stores them."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.tables.column_values import MOST_VALUES, ColumnKind, codes_of, floats_of, kind_of, microseconds_of

_TEXTS = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", ""]), st.text(max_size=3)), max_size=30)
_STORED = st.sampled_from([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])


@settings(max_examples=60)
@given(baseline=_TEXTS, current=_TEXTS, types=st.tuples(_STORED, _STORED), cut=st.integers(0, 30))
def test_equal_values_have_equal_codes(baseline, current, types, cut: int) -> None:
    arrays = [
        pa.chunked_array([_array(rows[:cut], kind), _array(rows[cut:], kind)])
        for rows, kind in zip((baseline, current), types, strict=True)
    ]
    codes = codes_of(*arrays)
    rows, numbers = baseline + current, np.concatenate([codes.baseline, codes.current]).tolist()
    assert len(rows) == len(numbers)
    assert len(set(zip(rows, numbers, strict=True))) == len(set(rows)) == len(set(numbers))
    assert all((row is None) == (code == codes.size - 1) for row, code in zip(rows, numbers, strict=True))
    assert all(0 <= code < codes.size for code in numbers)


def _array(rows: list[str | None], kind: pa.DataType) -> pa.Array:
    return pa.array(rows, pa.string()).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(rows, kind)


def test_rarer_values_share_a_code_and_no_row_is_lost() -> None:
    often = [f"v{i}" for i in range(MOST_VALUES)] * 2
    codes = codes_of(pa.chunked_array([often]), pa.chunked_array([[f"rare{i}" for i in range(500)] + [None]]))
    assert codes.size == MOST_VALUES + 2
    assert set(codes.current[:-1].tolist()) == {MOST_VALUES}
    assert codes.current[-1] == MOST_VALUES + 1
    assert np.bincount(codes.baseline, minlength=codes.size)[:MOST_VALUES].tolist() == [2] * MOST_VALUES


def test_booleans_and_nulls_are_values_too() -> None:
    codes = codes_of(pa.chunked_array([[True, False, True]]), pa.chunked_array([pa.nulls(2)]))
    assert codes.baseline.tolist() == [0, 1, 0]
    assert codes.current.tolist() == [codes.size - 1] * 2


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, -(2**62)]), [1.0, np.nan, float(-(2**62))]),
        (pa.array([2**64 - 1], pa.uint64()), [float(2**64 - 1)]),
        (pa.array([Decimal("1.50"), None]), [1.5, np.nan]),
        (pa.array([1.5, None, float("inf")], pa.float32()), [1.5, np.nan, np.inf]),
        (pa.array([7, 8, 7]).dictionary_encode(), [7.0, 8.0, 7.0]),
    ],
)
def test_numbers_become_floats(array: pa.Array, expected: list[float]) -> None:
    assert kind_of(array.type) is ColumnKind.NUMERIC
    np.testing.assert_array_equal(floats_of(pa.chunked_array([array])), expected)


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.list_(pa.int64()), pa.binary(), pa.struct([("a", pa.int8())])])
def test_other_kinds_are_not_compared(kind: pa.DataType) -> None:
    assert kind_of(kind) is ColumnKind.OTHER


def test_times_of_any_kind_are_microseconds() -> None:
    noon, expected = datetime(2026, 1, 1, 12, tzinfo=UTC), 1_767_268_800_000_000
    for unit in ("s", "ms", "us", "ns"):
        assert microseconds_of(pa.chunked_array([pa.array([noon], pa.timestamp(unit, "UTC"))])).to_pylist() == [
            expected
        ]
    berlin = pa.array([noon], pa.timestamp("us", "Europe/Berlin"))
    assert microseconds_of(pa.chunked_array([berlin])).to_pylist() == [expected]
    assert microseconds_of(pa.chunked_array([["2026-01-01T12:00:00"]])).to_pylist() == [expected]
    assert microseconds_of(pa.chunked_array([["2026-01-01T14:00:00+02:00", None]])).to_pylist() == [expected, None]
    midnight = microseconds_of(pa.chunked_array([[date(2026, 1, 1)]])).to_pylist()
    assert midnight == [expected - 12 * 3600 * 10**6]
    assert microseconds_of(pa.chunked_array([["yesterday"]])) is None
    assert microseconds_of(pa.chunked_array([[1.0]])) is None
