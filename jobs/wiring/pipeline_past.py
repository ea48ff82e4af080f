"""The health of micro-batches, from what was just stored and from the tables: both must say the same. Wiring."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pegel.alerts.incident import PIPELINE
from pegel.schemas.health import REMEMBERED, BatchHealth
from pegel.schemas.partials import ALL, LIVE
from pegel.streaming.ingest.batch import IngestedBatch
from pegel.tables.delta import DeltaTables

_COLUMNS = "batch_id, offsets, received, dead_letters, feedback_received, feedback_dead_letters"


def health_of(batch: IngestedBatch, predictions_hub: str) -> BatchHealth:
    """Of a micro-batch that is stored; only partitions of the hub of predictions are said to be heard."""
    models = {partial.model for partial in batch.partials if partial.kind == LIVE and partial.segment == ALL}
    counts = batch.counts
    row = {
        "batch_id": batch.batch_id,
        "offsets": batch.offsets,
        "received": counts.received,
        "dead_letters": counts.dead_letters,
        "feedback_received": counts.feedback_received,
        "feedback_dead_letters": counts.feedback_dead_letters,
    }
    return _health(row, models, predictions_hub)


def past_health(tables: DeltaTables, before: int, predictions_hub: str) -> list[BatchHealth]:
    """Of the last micro-batches before one, from ``batches`` and ``profiles``; neither needs to be there yet.

    Raises:
        OutsideError: if a table cannot be read.
    """
    asked = f"SELECT {_COLUMNS} FROM t WHERE batch_id < {before:d} ORDER BY batch_id DESC LIMIT {REMEMBERED}"
    rows = tables.read("batches", asked)
    if not rows:
        return []
    first = min(row["batch_id"] for row in rows)
    models: dict[int, set[str]] = defaultdict(set)
    live = (
        f"SELECT DISTINCT batch_id, model FROM t WHERE batch_id >= {first:d} AND batch_id < {before:d} "
        f"AND segment = '{ALL}' AND kind = '{LIVE}'"
    )
    for row in tables.read("profiles", live):
        models[row["batch_id"]].add(row["model"])
    return [_health(row, models[row["batch_id"]], predictions_hub) for row in rows]


def _health(row: Mapping[str, Any], models: Iterable[str], predictions_hub: str) -> BatchHealth:
    live = [part for part in row["offsets"] if part["last_enqueued"] is not None]
    if not live:
        # Backfill says nothing of how the hubs are.
        return BatchHealth(row["batch_id"], None, frozenset(), frozenset(), 0, 0)
    # The counts of a micro-batch are one sum: with backfill in it they say nothing of what comes now.
    is_all_live = len(live) == len(row["offsets"])
    return BatchHealth(
        row["batch_id"],
        max(part["last_enqueued"] for part in live),
        # Labels come when somebody loads them, often once a night: that their hub is silent says nothing of any model.
        frozenset(f"{part['hub']}/{part['partition']}" for part in live if part["hub"] == predictions_hub),
        # An event may call its model so; the name stands for the pipeline.
        frozenset(models) - {PIPELINE},
        row["received"] + row["feedback_received"] if is_all_live else 0,
        row["dead_letters"] + row["feedback_dead_letters"] if is_all_live else 0,
    )
