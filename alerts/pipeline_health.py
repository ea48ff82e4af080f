"""Whether the pipeline is well: who has fallen silent, and how many events are refused. Pure.

All follows from the last :data:`~pegel.schemas.health.REMEMBERED` micro-batches and from enqueued times, so a restart
that reads them again decides the same. A stream that is dead cannot say so; ``alerts/stream_watch.py`` does.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from scipy import stats

from pegel.schemas.health import MODELS, PARTITIONS, REMEMBERED, BatchHealth, Fault
from pegel.schemas.partials import ALL
from pegel.schemas.policy import Rule, RuleKind

STEPS = 10
"""A silence is made of at least so many micro-batches: a single jump of the clock counts for a tenth of the time that
the rule wants, so that a night without any event is nobody's silence."""

LONGER = 3.0
"""A silence is so many times as long as the longest pause before."""

PAUSES = 8
"""So many pauses have to be known of who is said to be silent. If pauses are exponential, the chance that the next one
is longer than three times the longest of n is ``6 n! / (n + 3)!``: 0.6 % for 8 of them, and 2 in 100,000 for 64."""

DOUBT = 0.001
"""More than the allowed share are refused only if so many refused events were this unlikely at that share."""

_MODEL = "model:"


class PipelineHealth:
    """The last micro-batches, and what is wrong with them.

    Example:
        >>> from pegel.schemas.policy import Action
        >>> rule = Rule("dead", RuleKind.DEAD_LETTERS, "*", 0.0, 1, Action.PAGE, "dead-letters.md", 300.0, 0.01)
        >>> at = datetime(2026, 11, 28, 3, tzinfo=UTC)
        >>> health = PipelineHealth()
        >>> health.take(BatchHealth(7, at, frozenset({"predictions/0"}), frozenset(), 200, 20))
        >>> [(fault.value, fault.n) for fault in health.faults(rule)]
        [(0.1, 200)]
    """

    def __init__(self) -> None:
        self._batches: deque[BatchHealth] = deque(maxlen=REMEMBERED)
        self._last: dict[str, int] = {}

    def take(self, batch: BatchHealth) -> None:
        """Take in the next micro-batch."""
        if len(self._batches) == REMEMBERED:
            oldest = self._batches[0]
            for source in _sources(oldest):
                if self._last.get(source) == oldest.batch_id:
                    del self._last[source]
        self._batches.append(batch)
        for source in _sources(batch):
            self._last[source] = batch.batch_id

    def restore(self, batches: Iterable[BatchHealth]) -> None:
        """Begin with these; more than the last :data:`~pegel.schemas.health.REMEMBERED` do no harm."""
        self._batches.clear()
        self._last.clear()
        for batch in sorted(batches, key=lambda batch: batch.batch_id):
            self.take(batch)

    def faults(self, rule: Rule) -> tuple[Fault, ...]:
        """What is wrong now in the eyes of a rule, at most one fault for each model."""
        if not self._batches:
            return ()
        if rule.kind is RuleKind.NO_DATA:
            return tuple(self._silences(rule))
        if rule.kind is RuleKind.DEAD_LETTERS:
            return tuple(self._refused(rule))
        return ()

    def is_over(self, rule: Rule, model: str, sources: Iterable[str], opened_in: int) -> bool:
        """Whether what a rule found is over: nothing rings any more, and who was silent was heard since it opened.

        Who is not in what is remembered is not waited for, see :meth:`gone`. The share of dead letters has to be below
        half of what rings.
        """
        if not self._batches or any(fault.model == model for fault in self.faults(rule)):
            return False
        if rule.kind is RuleKind.DEAD_LETTERS:
            received, dead = self._counts(rule)
            return dead <= received * rule.limit / 2
        return all(self._last.get(source, opened_in + 1) > opened_in for source in _named(model, sources))

    def gone(self, model: str, sources: Iterable[str]) -> bool:
        """Whether one of these is in none of the micro-batches that are remembered."""
        return any(source not in self._last for source in _named(model, sources))

    def _silences(self, rule: Rule) -> Iterator[Fault]:
        recent = {source for batch in list(self._batches)[-STEPS:] for source in _sources(batch)}
        candidates = sorted(source for source in self._last if source not in recent)
        if not candidates:
            return
        moments = self._moments(rule.for_seconds / STEPS)
        at = {batch.batch_id: moment for batch, moment in zip(self._batches, moments, strict=True)}
        silent = [source for source in candidates if moments[-1] - at[self._last[source]] >= rule.for_seconds]
        found = [fault for source in silent if (fault := self._silence(source, moments, rule.for_seconds))]
        partitions = [fault for fault in found if fault.model == ALL]
        together = [fault.first_batch_id for fault in partitions]
        for fault in found if rule.covers(MODELS) else []:
            # A model that fell silent with its partition is one fault and not two.
            if fault.model != ALL and all(abs(fault.first_batch_id - last) > STEPS for last in together):
                yield fault
        if partitions and rule.covers(PARTITIONS):
            first = min(partitions, key=lambda fault: fault.first_batch_id)
            sources = tuple(source for fault in partitions for source in fault.sources)
            yield Fault(ALL, sources, first.since, first.first_batch_id, first.value, first.threshold)

    def _silence(self, source: str, moments: list[float], for_seconds: float) -> Fault | None:
        heard = [i for i, batch in enumerate(self._batches) if _is_heard(source, batch)]
        if len(heard) <= PAUSES:
            return None
        silent = moments[-1] - moments[heard[-1]]
        longest = max(moments[later] - moments[earlier] for earlier, later in pairwise(heard))
        wanted = max(for_seconds, LONGER * longest)
        if silent < wanted:
            return None
        last = self._batches[heard[-1]]
        is_model = source.startswith(_MODEL)
        return Fault(
            source.removeprefix(_MODEL) if is_model else ALL,
            () if is_model else (source,),
            last.newest_enqueued,
            last.batch_id,
            silent,
            wanted,
        )

    def _moments(self, longest_step: float) -> list[float]:
        """Seconds of traffic before each micro-batch: enqueued time, in which no step counts for more than allowed."""
        moments, seconds = [], 0.0
        newest: datetime | None = None
        for batch in self._batches:
            at = batch.newest_enqueued
            if at is not None:
                step = (at - newest).total_seconds() if newest is not None else 0.0
                seconds += min(max(step, 0.0), longest_step)
                newest = at if newest is None else max(newest, at)
            moments.append(seconds)
        return moments

    def _refused(self, rule: Rule) -> Iterator[Fault]:
        received, dead = self._counts(rule)
        if received and dead > received * rule.limit and stats.binom.sf(dead - 1, received, rule.limit) <= DOUBT:
            first = next(batch for batch in self._recent(rule.for_seconds) if batch.dead_letters)
            yield Fault(ALL, (), first.newest_enqueued, first.batch_id, dead / received, rule.limit, received)

    def _counts(self, rule: Rule) -> tuple[int, int]:
        recent = self._recent(rule.for_seconds)
        return sum(batch.received for batch in recent), sum(batch.dead_letters for batch in recent)

    def _recent(self, seconds: float) -> list[BatchHealth]:
        timed = [(batch.newest_enqueued, batch) for batch in self._batches if batch.newest_enqueued is not None]
        since = max((at for at, _ in timed), default=datetime.max.replace(tzinfo=UTC)) - timedelta(seconds=seconds)
        return [batch for at, batch in timed if at > since]


def _is_heard(source: str, batch: BatchHealth) -> bool:
    # Asked for each micro-batch that is remembered, so nothing is put together here.
    return source in batch.partitions or (source.startswith(_MODEL) and source.removeprefix(_MODEL) in batch.models)


def _named(model: str, sources: Iterable[str]) -> Iterable[str]:
    return sources if model == ALL else (_MODEL + model,)


def _sources(batch: BatchHealth) -> Iterator[str]:
    yield from batch.partitions
    for model in batch.models:
        yield _MODEL + model
