"""Rows of ``predictions`` counted as the micro-batches that stored them must have: each version on its grid. Edge."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pegel.conf.settings import IngestSettings
from pegel.schemas.grids import DEFAULT_GRID, Grid, default_grid, grid_from_row
from pegel.schemas.partials import BACKFILL, BACKFILL_HUB, LIVE
from pegel.schemas.stream_tables import PREDICTIONS
from pegel.streaming.verify.merged import GridsBefore
from pegel.streaming.verify.recount import Counted, Place, Recount
from pegel.tables.delta import DeltaTables, Row
from pegel.tables.merging import merged_up_to


def prediction_rows(tables: DeltaTables, where: str) -> pa.Table:
    """Rows of ``predictions``, with the columns that both the table and this version know.

    Args:
        tables: where.
        where: a condition in SQL, of numbers alone.
    """
    # A table of an older version lacks columns, and one of a newer version has more.
    there = tables.read_arrow(PREDICTIONS.name, "SELECT * FROM t LIMIT 0").column_names
    names = [name for name in PREDICTIONS.names if name in there]
    schema = pa.schema([PREDICTIONS.arrow_schema.field(name) for name in names])
    quoted = ", ".join(f'"{name}"' for name in names)
    pieces = tables.scan(PREDICTIONS.name, f"SELECT {quoted} FROM t WHERE {where}")
    return pa.concat_tables([schema.empty_table(), *(piece.cast(schema) for piece in pieces)])


def by_kind(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows that came live, and those that came from files."""
    from_files = pc.ends_with(rows["hub"], BACKFILL_HUB)
    yield LIVE, rows.filter(pc.invert(from_files))
    yield BACKFILL, rows.filter(from_files)


@dataclass(slots=True)
class Recounted:
    """What rows give, by place and by the id of the grid that it is counted on.

    Attributes:
        counted: the counts.
        enqueued: first and last enqueued time of the same, in microseconds since 1970.
        grids: the grids that were asked for.
    """

    counted: dict[tuple[Place, str], Counted] = field(default_factory=dict)
    enqueued: dict[tuple[Place, str], tuple[int, int]] = field(default_factory=dict)
    grids: frozenset[str] = frozenset()


class RowCounter:
    """Counts rows of one stream.

    Args:
        tables: the stream's; ``grids`` is read, and of ``profiles`` which grid was whose.
        ingest: those that the stream ran with.
        known: attribute -> the values that have a segment of their own.
    """

    def __init__(self, tables: DeltaTables, ingest: IngestSettings, known: Mapping[str, frozenset[str]]) -> None:
        self._ingest = ingest
        self.known = known
        self._grids = {row["grid"]: grid_from_row(row) for row in tables.read("grids")}
        self._merged_up_to = merged_up_to(tables)
        highest = "kind, model, version, grid, max(batch_id) AS n"
        asked = f"SELECT {highest} FROM t WHERE batch_id <= {self._merged_up_to} GROUP BY kind, model, version, grid"
        self._grids_before = GridsBefore(tables.read("profiles", asked))

    def knows(self, grid: str) -> bool:
        """Whether the table ``grids`` holds this grid, or it is the default one."""
        return grid == DEFAULT_GRID or grid in self._grids

    def count(self, kind: str, rows: pa.Table, stored: Sequence[Row]) -> Recounted:
        """Count.

        Args:
            kind: ``live`` or ``backfill``: that of all these rows.
            rows: of ``predictions``.
            stored: the rows of ``profiles`` of their micro-batches and windows; they say on which grid each version
                was counted, and nothing else of them is looked at.
        """
        of_version = {(r["batch_id"], r["model"], r["version"]): r["grid"] for r in stored if r["kind"] == kind}
        versions = list(zip(*(rows[name].to_pylist() for name in ("batch_id", "model", "version")), strict=True))
        for batch_id, model, version in set(versions):
            if batch_id <= self._merged_up_to:
                of_version[batch_id, model, version] = self._grids_before.of(kind, model, version, batch_id)
        grid_of = pa.array([of_version.get(one, DEFAULT_GRID) for one in versions], pa.string())
        found = Recounted(grids=frozenset(of_version.values()))
        for name in pc.unique(grid_of).to_pylist():
            part = rows.filter(pc.equal(grid_of, name))
            cap = self._ingest.max_category_names
            recount = Recount(part, self._grid(name), self.known, self._ingest.window_seconds, cap)
            found.counted |= {(place, name): one for place, one in recount.counted.items()}
            found.enqueued |= {(place, name): one for place, one in recount.enqueued.items()}
        return found

    def _grid(self, name: str) -> Grid:
        return self._grids.get(name) or default_grid("")
