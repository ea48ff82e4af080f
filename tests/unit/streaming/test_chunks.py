"""Every row is in exactly one chunk, and chunks by time lie on the clock, whether rows fall into them or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import SettingsError
from pegel.streaming.statistics.chunks import MOST_CHUNKS, chunks_by_size, chunks_by_time, parse_period

HOUR = parse_period("1h")


@given(rows=st.integers(0, 500), size=st.integers(1, 600))
def test_chunks_by_size_hold_every_row_once(rows: int, size: int) -> None:
    chunks = chunks_by_size(rows, size)
    assert [i for c in chunks for i in range(c.first, c.last)] == list(range(rows))
    assert all(c.last - c.first == size for c in chunks[:-1])
    assert [(c.start, c.end) for c in chunks] == [(c.first, c.last) for c in chunks]


@given(times=st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=50), hours=st.integers(24, 500))
def test_chunks_by_time_hold_the_rows_of_their_period(times: list[int], hours: int) -> None:
    ordered = np.sort(np.array(times))
    period = hours * HOUR
    chunks = chunks_by_time(ordered, period)
    assert [i for c in chunks for i in range(c.first, c.last)] == list(range(len(times)))
    occupied = [c for c in chunks if c.last > c.first]
    assert chunks[0] is occupied[0]
    assert chunks[-1] is occupied[-1]
    assert all(len(set((ordered[c.first : c.last] - _origin(hours)) // period)) == 1 for c in occupied)


def _origin(hours: int) -> int:
    return parse_period("4d") if hours % 168 == 0 else 0


def test_a_period_without_rows_is_an_empty_chunk() -> None:
    empty = chunks_by_time(np.array([0, 3 * HOUR]), HOUR)[1]
    assert (empty.first, empty.last) == (1, 1)
    assert (empty.start, empty.end) == ("1970-01-01T01:00:00Z", "1970-01-01T02:00:00Z")


def test_weeks_begin_on_mondays() -> None:
    week = chunks_by_time(np.array([1_764_288_000 * 10**6]), parse_period("1w"))[0]  # Friday, 2025-11-28
    assert week.start == "2025-11-24T00:00:00Z"


def test_no_rows_are_one_empty_chunk() -> None:
    assert [(c.first, c.last) for c in chunks_by_size(0, 5)] == [(0, 0)]
    assert [(c.first, c.last) for c in chunks_by_time(np.array([], dtype=np.int64), HOUR)] == [(0, 0)]


def test_too_many_chunks_are_refused() -> None:
    with pytest.raises(SettingsError, match="is the most"):
        chunks_by_time(np.array([0, (MOST_CHUNKS + 1) * HOUR]), HOUR)
    with pytest.raises(SettingsError, match="is the most"):
        chunks_by_size(MOST_CHUNKS + 1, 1)


@pytest.mark.parametrize("text", ["", "h", "0h", "-1h", "1 h", "1m", "1.5h", "9999999s", "1h1h"])
def test_a_period_is_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(SettingsError, match="is no period"):
        parse_period(text)


def test_a_time_beyond_the_calendar_is_a_number() -> None:
    assert chunks_by_size(1, 1, np.array([2**62]))[0].start == str(2**62)
