"""What the watch says, in the words that incidents are made of. Pure."""

from dataclasses import dataclass
from datetime import datetime

from pegel.schemas.health import BatchHealth


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
class RateVerdict:
    """The answer of the rate detector: whether a rate has risen above what its baseline allows.

    It may be asked after every block, so its guarantee is about the whole run; ``n``, ``hits`` and what follows from
    them are of the blocks since the likeliest onset.

    Attributes:
        column: name of the rate, see ``metric_names.RATES``.
        rang: whether the statistic reached the threshold. Only a rise rings.
        calibrated: whether that keeps the false-alarm budget.
        lag: how many blocks there are since the onset, 1 to 64.
        n: events in them.
        hits: how many of these count, such as those with an error.
        statistic: ``log(1 + M)`` of the detector's sum M of betting e-values, over the whole run; of final windows
            ``-log(p_value)``.
        threshold: that of the run length which is this rate's share of the budget; of final windows that of their
            level.
        p_value: chance of so many hits or more in n events, each with the chance ``bound``; the onset was chosen.
        effect: Cohen's h of the rise, ``2 asin(sqrt(rate)) - 2 asin(sqrt(baseline's))``, 0 to pi: the shift in
            standard deviations of an event; 0 where the rate has fallen.
        lower: lower end of the rate's 95 % interval.
        upper: upper end of it.
        baseline_n: events of the baseline.
        baseline_hits: how many of them count.
        bound: the largest rate that is taken for harmless.
        since: start of the earliest window of these blocks: the estimated onset; None unless it rang.
        windows: (start, window_s) of every base window that they touch, in order; none unless it rang.
        pooled_first_batch_id: first micro-batch of these blocks.
    """

    column: str
    rang: bool
    calibrated: bool
    lag: int
    n: int
    hits: int
    statistic: float
    threshold: float
    p_value: float
    effect: float
    lower: float
    upper: float
    baseline_n: int
    baseline_hits: int
    bound: float
    since: datetime | None = None
    windows: tuple[tuple[datetime, int], ...] = ()
    pooled_first_batch_id: int = -1


@dataclass(frozen=True, slots=True)
class AccuracyVerdict(RateVerdict):
    """The same about the answers that labels call wrong: ``hits`` of ``n`` labelled events, window by window.

    It has the column ``accuracy``; the accuracy itself is ``1 - hits / n``, and ``1 - bound`` the lowest that is taken
    for harmless. ``lag`` counts windows.

    Attributes:
        label_completeness: labelled events over events of the same windows, 0 to 1, when they were judged.
    """

    label_completeness: float = 0.0


Verdict = ColumnVerdict | RateVerdict


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """A final window whose labels were complete enough, or are no longer waited for; it is judged once.

    Attributes:
        window_start: of the window.
        window_s: its length in seconds.
        first_batch_id: first micro-batch with an event or a label of it.
        last_batch_id: the micro-batch in which it was judged.
        baseline_id: what it was compared with.
        rates: the one verdict, over the windows since the likeliest onset.
    """

    model: str
    version: str
    segment: str
    window_start: datetime
    window_s: int
    first_batch_id: int
    last_batch_id: int
    baseline_id: str
    rates: tuple[AccuracyVerdict, ...]


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """A closed arrival block: which micro-batches and windows are in it, and a verdict for each column and rate.

    Attributes:
        windows: (start, window_s) of every base window that the pooled blocks of the columns touch, in order.
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
    rates: tuple[RateVerdict, ...] = ()

    @property
    def rang(self) -> bool:
        """Whether any column rang."""
        return any(c.rang for c in self.columns)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an unconfirmed incident rests on; final windows confirm or retract it.

    Attributes:
        first_batch_id: first micro-batch of it; with -1 nothing is known of what was around it.
    """

    incident_id: str
    model: str
    version: str
    segment: str
    columns: tuple[str, ...]
    windows: tuple[tuple[datetime, int], ...]
    rates: tuple[str, ...] = ()
    first_batch_id: int = -1


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
        health: what else it says of the pipeline; None where nobody watches that.
    """

    batch_id: int
    event_time: datetime | None
    enqueued_time: datetime | None
    stored_time: datetime | None
    decided_time: datetime
    conserved: bool = True
    health: BatchHealth | None = None
