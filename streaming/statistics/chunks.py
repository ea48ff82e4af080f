"""How rows are cut into chunks: by number or by time. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from pegel.errors import SettingsError
from pegel.streaming.statistics.cells import IntArray

MOST_CHUNKS = 10_000
"""More would be a mistake: a time from 1970 among those of today, or a period of the wrong unit."""

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PERIOD = re.compile(r"([1-9]\d{0,5})(s|min|h|d|w)")
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY = 4 * 86400 * 10**6
"""Weeks begin on Mondays, and 1970-01-05 was one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows.

    Attributes:
        first: number of its first row, from 0.
        last: the first row that is not in it; equal to ``first`` if it has none.
        start: where it begins, for people: ``first``, or a time in ISO 8601, UTC.
        end: likewise ``last`` or a time.
    """

    first: int
    last: int
    start: int | str
    end: int | str


def parse_period(text: str) -> int:
    """A period in microseconds: a whole number and ``s``, ``min``, ``h``, ``d`` or ``w``.

    Raises:
        SettingsError: if it is something else.

    Example:
        >>> parse_period("15min")
        900000000
    """
    found = _PERIOD.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no period; write a number and s, min, h, d or w, as in 15min"
        raise SettingsError(msg)
    return int(found[1]) * _UNITS[found[2]] * 10**6


def chunks_by_size(rows: int, size: int, times: IntArray | None = None) -> list[Chunk]:
    """Chunks of so many rows; the last may have fewer. Without rows there is one empty chunk.

    Args:
        rows: how many there are.
        size: at least 1.
        times: of the rows, in microseconds since 1970 UTC, ascending: then a chunk says the times of its first and its
            last row.

    Raises:
        SettingsError: if these are more than :data:`MOST_CHUNKS`.

    Example:
        >>> chunks_by_size(5, 3)
        [Chunk(first=0, last=3, start=0, end=3), Chunk(first=3, last=5, start=3, end=5)]
    """
    _check_number(-(-rows // size))
    cuts = [(first, min(first + size, rows)) for first in range(0, max(rows, 1), size)]
    if times is None or not rows:
        return [Chunk(first, last, first, last) for first, last in cuts]
    return [Chunk(first, last, iso(int(times[first])), iso(int(times[last - 1]))) for first, last in cuts]


def chunks_by_time(times: IntArray, period: int) -> list[Chunk]:
    """Chunks of a period each, from that of the first row to that of the last; those between may be empty.

    Periods are counted from 1970-01-01 in UTC, weeks from a Monday. A chunk reaches up to its end, without it.

    Args:
        times: in microseconds since 1970 UTC, ascending.
        period: in microseconds.

    Raises:
        SettingsError: if these are more than :data:`MOST_CHUNKS`.

    Example:
        >>> [(c.start, c.last - c.first) for c in chunks_by_time(np.array([0, 10**6, 25 * 10**5]), 10**6)]
        [('1970-01-01T00:00:00Z', 1), ('1970-01-01T00:00:01Z', 1), ('1970-01-01T00:00:02Z', 1)]
    """
    if not times.size:
        return chunks_by_size(0, 1)
    origin = _MONDAY if period % (_UNITS["w"] * 10**6) == 0 else 0
    first, last = ((int(t) - origin) // period for t in (times[0], times[-1]))
    _check_number(last - first + 1)
    edges = [origin + i * period for i in range(first, last + 2)]
    rows: Sequence[int] = np.searchsorted(times, edges, side="left").tolist()
    return [Chunk(rows[i], rows[i + 1], iso(edges[i]), iso(edges[i + 1])) for i in range(len(edges) - 1)]


def iso(microseconds: int) -> str:
    """A time in ISO 8601, UTC; a number if it lies beyond the years 1 to 9999.

    Example:
        >>> iso(1_500_000)
        '1970-01-01T00:00:01.500000Z'
    """
    try:
        return (_EPOCH + microseconds * _MICROSECOND).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return str(microseconds)


def _check_number(chunks: int) -> None:
    if chunks > MOST_CHUNKS:
        msg = f"these rows make {chunks} chunks, and {MOST_CHUNKS} is the most; make chunks longer or mend the times"
        raise SettingsError(msg)
