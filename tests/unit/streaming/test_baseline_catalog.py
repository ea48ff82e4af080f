"""The catalog of baselines: what registration stored is what the watch compares with."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pegel.lifecycle.baseline import make_baseline, store
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn
from pegel.streaming.ingest.grids import GridCatalog
from pegel.streaming.statistics.counting import learn_grid
from pegel.streaming.watch.references import BaselineCatalog
from pegel.tables.delta import DeltaTables

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
COLUMNS = (GridColumn("x", NUMERIC, "features.x"), GridColumn("output", CATEGORICAL, "output"))


class CountedTables(DeltaTables):
    """Tables that count how often rows were read."""

    reads = 0

    def read(self, name: str, sql: str = "SELECT * FROM t") -> list[dict]:
        self.reads += 1
        return super().read(name, sql)


@pytest.fixture
def tables(tmp_path: Path) -> CountedTables:
    return CountedTables(str(tmp_path))


def _register(tables: DeltaTables, version: str, values: dict, now: datetime = NOW):
    grid = learn_grid("m", COLUMNS, values)
    baseline = make_baseline("m", version, grid, values)
    store(tables, baseline, source="test", now=now)
    return baseline


def test_catalog_gives_what_registration_stored(tables: CountedTables) -> None:
    catalog = BaselineCatalog(tables)
    assert catalog("m", "1") is None
    stored = _register(tables, "1", {"x": [1.0, 2.0, None, 9.5], "output": ["a", "b", "a", None]})
    found = catalog("m", "1")
    assert found is not None
    assert (found.baseline_id, found.grid, found.baseline) == (stored.baseline_id, stored.grid, stored.tally)
    assert found.baseline.categories["output"] == Counter({"a": 2, "b": 1, "__missing__": 1})
    assert catalog("m", "2") is None
    assert GridCatalog(tables).grids_of([("m", "1")])["m", "1"] == found.grid


def test_catalog_reads_again_only_when_a_baseline_came(tables: CountedTables) -> None:
    catalog = BaselineCatalog(tables)
    _register(tables, "1", {"x": [1.0, 2.0], "output": ["a", "b"]})
    catalog("m", "1")
    before = tables.reads
    assert [catalog("m", "1"), catalog("m", "none")][1] is None
    assert tables.reads == before
    _register(tables, "2", {"x": [5.0, 7.0], "output": ["a", "b"]})
    assert catalog("m", "2") is not None
    assert tables.reads > before


def test_catalog_keeps_the_oldest_baseline_of_a_version(tables: CountedTables) -> None:
    later = _register(tables, "1", {"x": [5.0, 7.0], "output": ["a", "b"]}, NOW)
    older = _register(tables, "1", {"x": [1.0, 2.0], "output": ["a", "b"]}, NOW - timedelta(hours=1))
    found = BaselineCatalog(tables)("m", "1")
    assert found is not None
    assert later.baseline_id != older.baseline_id == found.baseline_id
    assert GridCatalog(tables).grids_of([("m", "1")])["m", "1"] == older.grid
