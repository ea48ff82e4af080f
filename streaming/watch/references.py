"""What each registered version is compared with, from ``baselines`` and ``grids``. Edge."""

from collections.abc import Mapping

from pegel.schemas.grids import grid_from_row
from pegel.schemas.partials import tally_from_row
from pegel.streaming.watch.reference import Reference
from pegel.tables.delta import DeltaTables


class BaselineCatalog:
    """Knows the reference of each registered version; looks again only when ``baselines`` has moved.

    A grid is always written before the baselines that are counted on it, so a baseline that is there has its grid.
    Should a version have several baselines, the oldest holds: what it was judged by before stays so.

    Args:
        tables: where ``baselines`` and ``grids`` lie; neither needs to be there yet.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._tables = tables
        self._read_at = -1
        self._references: dict[tuple[str, str], Reference] = {}

    def __call__(self, model: str, version: str) -> Reference | None:
        """The reference of a version; None while it has none."""
        return self.known().get((model, version))

    def known(self) -> Mapping[tuple[str, str], Reference]:
        """(model, version) -> its reference, for every version that has one."""
        moved = self._tables.version("baselines")
        if moved != self._read_at:
            self._references = self._read()
            self._read_at = moved
        return self._references

    def _read(self) -> dict[tuple[str, str], Reference]:
        rows = sorted(self._tables.read("baselines"), key=lambda row: (row["created_at"], row["baseline_id"]))
        known = {row["grid"]: grid_from_row(row) for row in self._tables.read("grids")}
        found: dict[tuple[str, str], Reference] = {}
        for row in rows:
            if row["grid"] in known:
                reference = Reference(known[row["grid"]], tally_from_row(row), row["baseline_id"])
                found.setdefault((row["model"], row["version"]), reference)
        return found
