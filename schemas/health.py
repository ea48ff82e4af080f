"""What the pipeline says of itself, one micro-batch at a time, and what can be wrong with it. Pure."""

from dataclasses import dataclass
from datetime import datetime

REMEMBERED = 1024
"""So many micro-batches are looked back at, and read again at a restart: 51 minutes at one each 3 s."""

HORIZON_SECONDS = 3 * REMEMBERED
"""A rule may look back no longer: what happened before is not known, at one micro-batch each 3 s."""

PARTITIONS = "partitions"
MODELS = "models"
SILENT = (PARTITIONS, MODELS)
"""Whose silence a rule of the kind ``no_data`` may be about."""


@dataclass(frozen=True, slots=True)
class BatchHealth:
    """One micro-batch, as the health of the pipeline follows from it; its row of ``batches`` and its partials say it.

    Attributes:
        batch_id: the micro-batch.
        newest_enqueued: the highest enqueued time in it; None if all of it is backfill.
        partitions: ``hub/partition`` of each partition of the hub of predictions with an event in it; backfill is left
            out, and so are labels, which may come once a night.
        models: the models with a live prediction in it; never ``"*"``, which stands for the pipeline.
        received: events read, of all hubs; 0 if some of them are backfill.
        dead_letters: of these, refused.
    """

    batch_id: int
    newest_enqueued: datetime | None
    partitions: frozenset[str]
    models: frozenset[str]
    received: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with the pipeline, or with what comes to it.

    Attributes:
        model: the model that it is about; ``"*"`` for the pipeline itself.
        sources: what is concerned, such as ``predictions/3``; none where it is about all.
        since: when it began, in enqueued time, as far as that is known.
        first_batch_id: the first micro-batch that it may have spoilt.
        value: how large: seconds of silence, or a share.
        threshold: what it had to pass.
        n: events behind it; None where it is not about a number of events.
    """

    model: str
    sources: tuple[str, ...]
    since: datetime | None
    first_batch_id: int
    value: float
    threshold: float
    n: int | None = None
