"""A micro-batch whose events are stored: its counts, and what the watch needs of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pegel.schemas.partials import ALL, BACKFILL, EVENTS, LIVE, Partial
from pegel.streaming.ingest.holes import Hole


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """The counting columns of ``batches``; see there."""

    received: int = 0
    stored: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    in_partials: int = 0
    feedback_received: int = 0
    feedback_stored: int = 0
    feedback_dead_letters: int = 0
    feedback_duplicates: int = 0
    matched: int = 0
    unmatched: int = 0
    joined_later: int = 0

    @property
    def conserved(self) -> bool:
        """Whether every event is accounted for: received = stored + dead letters + duplicates, stored = in partials."""
        return (
            self.received == self.stored + self.dead_letters + self.duplicates
            and self.feedback_received == self.feedback_stored + self.feedback_dead_letters + self.feedback_duplicates
            and self.stored == self.in_partials
            and self.matched - self.joined_later + self.unmatched <= self.feedback_stored
        )


COUNT_COLUMNS = tuple(field.name for field in fields(BatchCounts))


def counts_of(row: Mapping[str, Any]) -> BatchCounts:
    """The counts that a row of ``batches`` holds.

    Args:
        row: with all of ``COUNT_COLUMNS``.

    Example:
        An event of feedback has got lost.

        >>> counts_of({name: int(name == "feedback_received") for name in COUNT_COLUMNS}).conserved
        False
    """
    return BatchCounts(**{name: row[name] for name in COUNT_COLUMNS})


@dataclass(frozen=True, slots=True)
class IngestedBatch:
    """A micro-batch that is stored but not yet committed.

    Attributes:
        query_id: in the checkpoint's metadata.
        batch_id: generation x 10^9 + Spark's own id.
        offsets: for the column ``offsets`` of ``batches``.
        holes: numbers that are missing within them.
        partials: its rows of ``profiles``.
        newest_event: event time of its newest prediction; None if it stored none.
        newest_enqueued: enqueued time of its newest event.
        started_at: when it began.
        stored_at: when everything was stored.
        replayed: whether a process that died had stored something of it already.
    """

    query_id: str
    batch_id: int
    offsets: Sequence[Mapping[str, Any]]
    holes: tuple[Hole, ...]
    partials: Sequence[Partial]
    counts: BatchCounts
    newest_event: datetime | None
    newest_enqueued: datetime
    started_at: datetime
    stored_at: datetime
    replayed: bool


def events_in(partials: Sequence[Partial]) -> int:
    """How many events the all-segment partials hold, live ones and others."""
    return sum(p.tally.counts[EVENTS] for p in partials if p.kind in {LIVE, BACKFILL} and p.segment == ALL)
