"""What ``profiles`` must count, once more from rows of ``predictions``: columns of Arrow and numpy. Pure.

Nothing of the code that counts on the stream is used: only what a cell and a category are (``schemas.grids``).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas import grids
from pegel.schemas.grids import Grid, GridColumn

Ints = npt.NDArray[np.int64]
Place = tuple[int, str, str, str, int]
"""(batch_id, model, version, segment, start of the window in microseconds since 1970)."""

Counted = dict[tuple[str, ...], int]
"""What a partial counts, flat: ("counts", name), ("cells", column, cell), ("sum_q" or "sum_q2", column), ("names",
column, name) -> number, none of them 0."""

_NEAR_EDGE = 1e-9
_LONGEST = grids.MAX_NAME_CHARACTERS
# What Java reads as a double: with a suffix, and in hexadecimal, too.
_DECIMAL = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[dDfF]?")
_HEXADECIMAL = re.compile(r"([+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[dDfF]?")
_SPECIAL = {"inf", "infinity", "nan"}
_OF_TEXTS: Mapping[str, tuple[str, Callable[[str], int]]] = {
    "input_length": ("input_characters", len),
    "input_words": ("input_words", lambda text: len(text.split())),
}
"""Source -> the column that says it if the text is not stored, and how a text is measured."""

_BLANKS = "".join(map(chr, range(33)))


class Recount:
    """Counts rows of ``predictions`` on one grid.

    Args:
        rows: the rows; all are counted on this grid.
        grid: where cells lie.
        known: attribute -> the values that have a segment of their own; all others share one.
        window_seconds: length of the windows.
        max_names: how many names a column keeps in a partial if the grid names none.
    """

    def __init__(
        self, rows: pa.Table, grid: Grid, known: Mapping[str, frozenset[str]], window_seconds: int, max_names: int
    ) -> None:
        self._rows = rows.combine_chunks()
        self._grid = grid
        self._max_names = max_names
        self.counted: dict[Place, Counted] = defaultdict(dict)
        self.enqueued: dict[Place, tuple[int, int]] = {}
        """First and last enqueued time, in microseconds since 1970."""
        if len(rows):
            self._event, self._group, self._places = _groups(self._rows, known, window_seconds)
            self._count()

    def _count(self) -> None:
        rows = self._rows
        self._add(("counts", "events"), np.ones(len(rows), np.int64))
        self._add(("counts", "errors"), _array(pc.cast(pc.is_valid(rows["error_type"]), pa.int64())))
        for name in ("input_tokens", "output_tokens"):
            self._add(("counts", name), _array(pc.fill_null(rows[name], 0)))
        for column in self._grid.columns:
            if column.kind == grids.NUMERIC:
                self._add_numbers(column)
            else:
                self._add_names(column)
        times = _array(pc.cast(rows["enqueued_time"], pa.int64()))[self._event]
        first = np.full(len(self._places), np.iinfo(np.int64).max)
        last = np.full(len(self._places), np.iinfo(np.int64).min)
        np.minimum.at(first, self._group, times)
        np.maximum.at(last, self._group, times)
        self.enqueued = {place: (int(first[i]), int(last[i])) for i, place in enumerate(self._places)}

    def _add(self, what: tuple[str, ...], values: Ints) -> None:
        sums = np.zeros(len(self._places), np.int64)
        np.add.at(sums, self._group, values[self._event])
        for i in np.flatnonzero(sums):
            self.counted[self._places[i]][what] = int(sums[i])

    def _add_numbers(self, column: GridColumn) -> None:
        values, there = numbers_of(self._rows, column.source)
        cells = cells_of(values, there, column)
        inside = cells >= 0
        scaled = grids.Q_SCALE * (np.where(inside, values, column.center) - column.center) / column.scale
        q = np.floor(scaled + 0.5).astype(np.int64)
        self._add(("sum_q", column.name), q)
        self._add(("sum_q2", column.name), q * q)
        for place, cell, n in self._grouped(pa.array(cells)):
            self.counted[place]["cells", column.name, str(cell)] = n

    def _add_names(self, column: GridColumn) -> None:
        by_place: dict[Place, dict[str, int]] = defaultdict(dict)
        for place, name, n in self._grouped(_names(texts_of(self._rows, column.source), column)):
            by_place[place][name] = n
        for place, names in by_place.items():
            for name, n in (names if column.categories else _cut(names, self._max_names)).items():
                self.counted[place]["names", column.name, name] = n

    def _grouped(self, values: pa.Array) -> Iterator[tuple[Place, Any, int]]:
        pairs = pa.table({"group": self._group, "value": values.take(pa.array(self._event))})
        found = pairs.group_by(["group", "value"]).aggregate([("value", "count")])
        columns = (found[name].to_pylist() for name in ("group", "value", "value_count"))
        for group, value, n in zip(*columns, strict=True):
            yield self._places[group], value, n


def numbers_of(rows: pa.Table, source: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The numbers of a watched column, and which events have one."""
    if source.startswith("features."):
        values = [_number(text) for text in _feature(rows, source).to_pylist()]
    elif source in _OF_TEXTS:
        kept, measure = _OF_TEXTS[source]
        stored = rows[kept].to_pylist() if kept in rows.column_names else [None] * len(rows)
        # Where the text is stored it is measured, whatever is said of it.
        texts = zip(rows["input"].to_pylist(), stored, strict=True)
        values = [said if text is None else measure(text) for text, said in texts]
    elif source == "confidence":
        values = [max((p for _, p in pairs or () if p is not None), default=None) for pairs in _pairs(rows)]
    else:
        values = rows[source].to_pylist()
    there = np.array([value is not None for value in values], bool)
    return np.array([0.0 if value is None else value for value in values], np.float64), there


def texts_of(rows: pa.Table, source: str) -> pa.Array:
    """The texts of a watched column."""
    return _feature(rows, source) if source.startswith("features.") else _whole(rows[source])


def cells_of(values: npt.NDArray[np.float64], there: npt.NDArray[np.bool_], column: GridColumn) -> Ints:
    """The cell or code of each value, by the definition of :func:`pegel.schemas.grids.cell_of`.

    Example:
        >>> cells_of(np.array([0.0, 0.0, 1e9]), np.array([True, False, True]), GridColumn("x", "numeric", "latency_ms"))
        array([512,  -1,  -4])
    """
    finite = np.isfinite(values)
    with np.errstate(all="ignore"):
        y = (np.arcsinh((values - column.center) / column.scale) + grids.HALF_RANGE) * grids.CELLS_PER_UNIT
    y = np.where(finite, y, 0.0)
    cells = np.floor(np.clip(y, -1, grids.CELLS)).astype(np.int64)
    cells[y < 0] = grids.BELOW
    cells[y >= grids.CELLS] = grids.ABOVE
    # Two ways to an arcsinh may differ in the last digit, which matters at an edge.
    for i in np.flatnonzero(finite & (np.abs(y - np.rint(y)) < _NEAR_EDGE)):
        cells[i] = grids.cell_of(float(values[i]), column.center, column.scale)
    cells[~finite] = grids.NON_FINITE
    cells[~there] = grids.MISSING
    return cells


def _groups(rows: pa.Table, known: Mapping[str, frozenset[str]], window_seconds: int) -> tuple[Ints, Ints, list[Place]]:
    """For each event and segment of it: the number of the event, the number of the group; and the groups."""
    micros = window_seconds * 1_000_000
    times = _array(pc.cast(rows["event_time"], pa.int64()))
    own = pa.table(
        {
            "event": np.arange(len(rows)),
            **{name: rows[name] for name in ("batch_id", "model", "version")},
            "window": times - np.mod(times, micros),
        }
    )
    parts = [own.append_column("segment", pa.repeat("*", len(own)))]
    for attribute, values in known.items():
        value = _whole(pc.map_lookup(rows["segments"], attribute, "first"))
        named = pc.is_in(value, pa.array(sorted(values), pa.string()))
        name = pc.if_else(named, value, pa.scalar(grids.OTHER_NAME))
        segment = pc.binary_join_element_wise(f"{attribute}=", name, "")
        has = pc.is_valid(value)
        parts.append(own.append_column("segment", segment).filter(has))
    spread = pa.concat_tables(parts)
    keys = ["batch_id", "model", "version", "segment", "window"]
    groups = spread.select(keys).group_by(keys).aggregate([])
    places = list(zip(*(groups[key].to_pylist() for key in keys), strict=True))
    numbered = groups.append_column("group", pa.array(np.arange(len(groups))))
    joined = spread.join(numbered, keys)
    return _array(joined["event"]), _array(joined["group"]), places


def _names(texts: pa.Array, column: GridColumn) -> pa.Array:
    if column.categories:
        fits = pc.is_in(texts, pa.array([*column.categories, grids.MISSING_NAME], pa.string()))
    else:
        fits = pc.less_equal(pc.utf8_length(texts), _LONGEST)
    named = pc.if_else(fits, texts, pa.scalar(grids.OTHER_NAME))
    return pc.if_else(pc.is_null(texts), pa.scalar(grids.MISSING_NAME), named)


def _cut(names: Mapping[str, int], at_most: int) -> dict[str, int]:
    """The most frequent names, ties by name; the others are counted together."""
    kept = {name: n for name, n in names.items() if name in (grids.MISSING_NAME, grids.OTHER_NAME)}
    ranked = sorted((-n, name) for name, n in names.items() if name not in kept)
    kept |= {name: -n for n, name in ranked[:at_most]}
    rest = sum(-n for n, _ in ranked[at_most:])
    return kept | ({grids.OTHER_NAME: kept.get(grids.OTHER_NAME, 0) + rest} if rest else {})


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    bare = text.strip(_BLANKS)
    if found := _DECIMAL.fullmatch(bare):
        return float(found[1])
    if found := _HEXADECIMAL.fullmatch(bare):
        return float.fromhex(found[1])
    return float(bare) if bare.lstrip("+-").lower() in _SPECIAL else None


def _feature(rows: pa.Table, source: str) -> pa.Array:
    return _whole(pc.map_lookup(rows["features"], source.removeprefix("features."), "first"))


def _pairs(rows: pa.Table) -> Sequence[list[tuple[str, float | None]] | None]:
    pairs: list[list[tuple[str, float | None]] | None] = rows["probabilities"].to_pylist()
    return pairs


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _array(column: pa.ChunkedArray | pa.Array) -> Ints:
    return np.asarray(_whole(column).to_numpy(zero_copy_only=False), np.int64)
