"""Which grid the events of a model version are counted on. Edge: reads tables, through the watch's own catalog."""

from collections.abc import Iterable

from pegel.schemas.grids import Grid, default_grid
from pegel.streaming.profile.counting import Version
from pegel.streaming.watch.references import BaselineCatalog
from pegel.tables.delta import DeltaTables


class GridCatalog:
    """Knows the grid of each registered version: that of the baseline which the watch compares it with.

    A version without a baseline is counted on the default grid: nothing is lost, and nothing can be judged.
    """

    def __init__(self, tables: DeltaTables) -> None:
        self._baselines = BaselineCatalog(tables)

    def grids_of(self, versions: Iterable[Version]) -> dict[Version, Grid]:
        """The grid of each version."""
        known = self._baselines.known()
        return {one: known[one].grid if one in known else default_grid(one[0]) for one in versions}
