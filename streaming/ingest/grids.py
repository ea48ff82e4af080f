"""Which grid the events of a model version are counted on. Edge: reads ``baselines`` and ``grids``."""

from collections.abc import Iterable

from pegel.schemas.grids import Grid, default_grid, grid_from_row
from pegel.tables.delta import DeltaTables

Version = tuple[str, str]
"""(model, version)."""


class GridCatalog:
    """Knows the grid of each registered version; looks again only when ``baselines`` has moved.

    A version without a baseline is counted on the default grid: nothing is lost, and nothing can be judged.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables
        self._read_at = -2
        self._grids: dict[Version, Grid] = {}

    def grids_of(self, versions: Iterable[Version]) -> dict[Version, Grid]:
        """The grid of each version."""
        moved = self._tables.version("baselines")
        if moved != self._read_at:
            self._grids = self._read()
            self._read_at = moved
        return {one: self._grids.get(one) or default_grid(one[0]) for one in versions}

    def _read(self) -> dict[Version, Grid]:
        known = {row["grid"]: grid_from_row(row) for row in self._tables.read("grids")}
        rows = self._tables.read(
            "baselines", "SELECT model, version, grid FROM t ORDER BY created_at DESC, baseline_id DESC"
        )
        # The oldest baseline of a version comes last, so it holds; the watch compares with the same.
        return {(row["model"], row["version"]): known[row["grid"]] for row in rows if row["grid"] in known}
