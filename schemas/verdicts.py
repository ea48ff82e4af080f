"""What the watch says, in the words that incidents are made of. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """The alarm rule's answer for one column, at the lag where the statistic is furthest beyond its bound.

    Attributes:
        column: name of the column.
        rang: whether the statistic passed the bound.
        calibrated: whether the bound keeps the false-alarm budget; False where the baseline is too young to say.
        lag: how many blocks were pooled.
        n: events in the pooled blocks.
        statistic: the test statistic T.
        threshold: the bound it had to pass.
        p_value: probability of such a T under 'no shift larger than the dead band', at this n.
        effect: size of the shift in baseline standard deviations.
        direction: location, scale, skew, tails, or the category whose share changed most.
    """

    column: str
    rang: bool
    calibrated: bool
    lag: int
    n: int
    statistic: float
    threshold: float
    p_value: float
    effect: float
    direction: str


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """A closed arrival block: which micro-batches and windows are in it, and a verdict for each column.

    Attributes:
        windows: (start, window_s) of every base window that the pooled blocks of the verdicts touch, in order.
        since: start of the earliest window of the lag at which the loudest column rang: the estimated onset.
        pooled_first_batch_id: first micro-batch of the pooled blocks behind the verdicts (an alert's lineage starts
            there); -1 stands for ``first_batch_id``.
    """

    model: str
    version: str
    segment: str
    block_no: int
    first_batch_id: int
    last_batch_id: int
    n: int
    last_enqueued: datetime
    baseline_id: str
    columns: tuple[ColumnVerdict, ...]
    windows: tuple[tuple[datetime, int], ...]
    since: datetime | None
    pooled_first_batch_id: int = -1

    @property
    def rang(self) -> bool:
        """Whether any column rang."""
        return any(c.rang for c in self.columns)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an unconfirmed incident rests on; final windows confirm or retract it."""

    incident_id: str
    model: str
    version: str
    segment: str
    columns: tuple[str, ...]
    windows: tuple[tuple[datetime, int], ...]


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What incidents need to know of the micro-batch in which they are decided.

    Attributes:
        batch_id: the micro-batch.
        event_time: of its newest event.
        enqueued_time: of its newest event.
        stored_time: when its predictions were stored.
        decided_time: when the decision is made (passed in, so that nothing else reads a clock).
        conserved: whether received = stored + dead letters + duplicates held, for both hubs and for the partials.
    """

    batch_id: int
    event_time: datetime | None
    enqueued_time: datetime | None
    stored_time: datetime | None
    decided_time: datetime
    conserved: bool = True
