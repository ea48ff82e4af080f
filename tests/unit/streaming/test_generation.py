from datetime import UTC, datetime
from pathlib import Path

import pytest

from pegel.streaming.ingest.generation import BATCHES_PER_GENERATION, app_id, generation_of
from pegel.streaming.ingest.sinks import create_tables
from pegel.tables.delta import DeltaTables

AT = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    tables = DeltaTables(str(tmp_path / "tables"))
    create_tables(tables)
    return tables


def write(tables: DeltaTables, query_id: str, batch_id: int) -> None:
    """What a query leaves that dies right after its first table."""
    row = {
        "batch_id": batch_id, "hub": "predictions", "partition": "0", "offset": batch_id, "enqueued_time": AT,
        "reason": "not_json_object", "sha256": "0",
    }  # fmt: skip
    tables.append("dead_letters", [row], (app_id(query_id, "dead_letters"), batch_id))


def test_the_first_query_has_generation_0(tables: DeltaTables) -> None:
    assert generation_of(tables, "first") == 0


def test_a_query_that_died_in_its_first_micro_batch_keeps_its_generation(tables: DeltaTables) -> None:
    write(tables, "first", 0)
    assert generation_of(tables, "first") == 0
    write(tables, "second", 3 * BATCHES_PER_GENERATION + 17)
    assert generation_of(tables, "second") == 3
    assert generation_of(tables, "first") == 0


def test_a_new_checkpoint_takes_the_next_generation_even_after_one_that_never_committed(tables: DeltaTables) -> None:
    write(tables, "first", 5)
    assert generation_of(tables, "second") == 1
    write(tables, "second", BATCHES_PER_GENERATION)
    assert generation_of(tables, "third") == 2
