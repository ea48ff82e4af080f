"""The health of a micro-batch is the same from what was just stored as from the tables, through real tables."""

from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from equipment.watched_stream import BatchPlan, Piece, batches_of, profile_row
from equipment.watched_tables import register

from pegel.jobs.wiring.pipeline_past import health_of, past_health
from pegel.schemas.health import BatchHealth
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
from pegel.tables.delta import DeltaTables

HUB = "predictions"
COUNTS = BatchCounts(received=40, stored=35, dead_letters=5, feedback_received=10, feedback_dead_letters=1)


def _part(hub: str, partition: str, time: datetime | None) -> dict[str, Any]:
    return {"hub": hub, "partition": partition, "first": 0, "last": 9, "count": 10, "last_enqueued": time}


@pytest.fixture
def both_ways(tmp_path: Path):
    """The health of one micro-batch with these parts, after both ways were seen to agree."""
    tables = DeltaTables(str(tmp_path))
    register(tables)

    def _both(*parts: tuple[str, str, bool]) -> tuple[BatchHealth, datetime]:
        [batch] = batches_of([BatchPlan((Piece(n=35),))])
        time = max(batch.clock.values())
        offsets = [_part(hub, partition, time if is_live else None) for hub, partition, is_live in parts]
        star = replace(batch.partials[0], model="*")
        partials = (*batch.partials, star)
        tables.append("profiles", [profile_row(p) for p in partials])
        row = {"query_id": "q", "batch_id": batch.batch_id, "generation": 0, "offsets": offsets}
        tables.append("batches", [row | asdict(COUNTS)])
        ingested = IngestedBatch(
            "q", batch.batch_id, offsets, (), partials, COUNTS, time, time, time, time, replayed=False
        )
        health = health_of(ingested, HUB)
        assert past_health(tables, batch.batch_id + 1, HUB) == [health]
        return health, time

    return _both


def test_only_partitions_of_the_hub_of_predictions_are_heard_since_labels_may_come_once_a_night(both_ways):
    health, time = both_ways((HUB, "0", True), (HUB, "3", True), ("feedback", "0", True))
    assert health.partitions == {"predictions/0", "predictions/3"}
    assert health.newest_enqueued == time
    assert (health.received, health.dead_letters) == (50, 6), "refused labels are refused events"


def test_refused_events_of_a_backfill_count_for_nothing_in_the_micro_batches_that_hold_it(both_ways):
    health, time = both_ways((HUB, "0", True), ("predictions:backfill", "0", False))
    assert (health.received, health.dead_letters) == (0, 0)
    assert (health.partitions, health.newest_enqueued) == ({"predictions/0"}, time)


def test_model_that_is_named_like_the_pipeline_is_none_whose_silence_counts(both_ways):
    health, _ = both_ways((HUB, "0", True))
    assert health.models == {"assistant"}
