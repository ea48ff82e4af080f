"""Finding what there is about a person: in the tables as they stand, and in every file of their folders. Edge.

What is looked for is compared as data and never becomes part of a query.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pegel.schemas.erasures import ERASABLE, Subject, digest_of
from pegel.schemas.tables import TABLES
from pegel.tables.delta import DeltaTables
from pegel.tables.owned import OwnedTables, Place

_PLACE = ("batch_id", "hub", "partition", "offset")
_KEYS = {"predictions": ("event_id", "event_time"), "feedback": ("feedback_id", "feedback_time")}
_ABOUT = ("event_id", "prediction_time")


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row that is to be erased.

    Attributes:
        table: its table.
        place: where it lies.
        event_id: the id of its key; None for a dead letter.
        time: the time of its key; None for a dead letter.
    """

    table: str
    place: Place
    event_id: str | None
    time: datetime | None

    def digest(self, erasure_id: str) -> str | None:
        """What is kept of its key; None for a dead letter."""
        if self.event_id is None or self.time is None:
            return None
        return digest_of(erasure_id, self.event_id, self.time)


def find_rows(tables: DeltaTables, subjects: Sequence[Subject]) -> list[FoundRow]:
    """The rows that any of the subjects means, and the feedback about predictions among them.

    Raises:
        OutsideError: if a table cannot be read.
    """
    found: list[FoundRow] = []
    events: set[tuple[str, datetime]] = set()
    for table in ERASABLE:
        keys = _KEYS.get(table, ())
        columns = _columns_of(table, subjects)
        listed = ", ".join(f'"{column}"' for column in columns)
        schema = pa.schema([TABLES[table].arrow_schema.field(column) for column in columns])
        for piece in tables.scan(table, f"SELECT {listed} FROM t"):
            rows = _meant(table, piece.cast(schema), subjects, events)
            for row in rows.to_pylist():
                key = [row[column] for column in keys] or [None, None]
                found.append(FoundRow(table, _place(row), *key))
                if table == "predictions":
                    events.add((row["event_id"], row["event_time"]))
    return found


def remains(tables: OwnedTables, places: dict[str, set[Place]], subjects: Sequence[Subject]) -> list[str]:
    """The files below the folders of the three tables that still hold an erased row or a row about a subject.

    Every Parquet file is read, whether the table needs it or not. Files of the log, its checkpoints and checksums are
    searched for the subjects' values.

    Args:
        tables: where they lie.
        places: table -> the places of erased rows.
        subjects: who was meant.
    """
    return sorted(
        path
        for table in ERASABLE
        for path in tables.files_below(table)
        if _holds(tables, table, path, places.get(table, set()), subjects)
    )


def _holds(tables: OwnedTables, table: str, path: str, places: Collection[Place], subjects: Sequence[Subject]) -> bool:
    with tables.open_file(path) as file:
        if path.endswith(".parquet") and "/_delta_log/" not in path:
            columns = _columns_of(table, subjects)
            return any(
                len(_meant(table, rows, subjects, ())) or _has_place(rows, places)
                for rows in map(partial(_as_the_table, table), _pieces(pq.ParquetFile(file), columns))
            )
        if path.endswith(".parquet"):
            text = "".join(str(rows.to_pylist()) for rows in _pieces(pq.ParquetFile(file), None))
        else:
            text = file.read().decode("utf-8", "replace")
    # Statistics are text within text, and their quotes are escaped.
    bare = text.replace("\\", "")
    return any(f'"{subject.value}"' in bare for subject in subjects)


def _pieces(file: pq.ParquetFile, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    for batch in file.iter_batches(columns=columns):
        yield pa.table(batch)


def _as_the_table(table: str, rows: pa.Table) -> pa.Table:
    """Files remember other types of text than that of their table, and old ones may lack columns."""
    schema = TABLES[table].arrow_schema
    return rows.cast(pa.schema([schema.field(name).with_nullable(True) for name in rows.column_names]))


def _has_place(rows: pa.Table, places: Collection[Place]) -> bool:
    return any(_place(row) in places for row in rows.select(_PLACE).to_pylist())


def _meant(
    table: str, rows: pa.Table, subjects: Sequence[Subject], events: Collection[tuple[str, datetime]]
) -> pa.Table:
    """The rows that a subject means; of feedback also those about one of the events."""
    mask = pa.array([False] * len(rows), pa.bool_())
    for subject in subjects:
        if table == "dead_letters":
            mask = pc.or_(mask, _by_text(rows["body"], subject.in_text()))
        elif subject.column in rows.column_names:
            mask = pc.or_(mask, _by_value(rows, subject))
    if table == "feedback" and events:
        likely = pc.is_in(rows["event_id"], pa.array({name for name, _ in events}, pa.string()))
        of = [rows.filter(likely)[column].to_pylist() for column in _ABOUT]
        about = iter([key in events for key in zip(*of, strict=True)])
        mask = pc.or_(mask, pa.array([bool(is_likely and next(about)) for is_likely in likely.to_pylist()]))
    return rows.filter(mask)


def _by_value(rows: pa.Table, subject: Subject) -> pa.Array:
    values = rows[subject.column].combine_chunks()
    if subject.is_map:
        values = pc.map_lookup(values, subject.name, "first")
    return pc.fill_null(pc.equal(values, subject.value), False)


def _by_text(bodies: pa.ChunkedArray, holds: Callable[[str], bool]) -> pa.Array:
    return pa.array([body is not None and holds(body) for body in bodies.to_pylist()], pa.bool_())


def _columns_of(table: str, subjects: Sequence[Subject]) -> list[str]:
    """What must be read of a table to tell whom its rows are about."""
    wanted = {subject.column for subject in subjects} | set(_PLACE) | set(_KEYS.get(table, ("body",)))
    wanted |= set(_ABOUT) if table == "feedback" else set()
    return [name for name in TABLES[table].names if name in wanted]


def _place(row: dict[str, Any]) -> Place:
    return row["batch_id"], row["hub"], row["partition"], row["offset"]
