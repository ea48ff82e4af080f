"""What the counts of an incident's windows say about its cause, beside its baseline and the time before. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from pegel.schemas.diagnosis import Finding, FindingKind, Symptoms
from pegel.schemas.metric_names import ERROR_RATE
from pegel.schemas.partials import ALL, CORRECT, CORRECT_CELLS, ERRORS, EVENTS, LABELLED, Partial, Tally
from pegel.streaming.statistics.cells import IntArray, dense, values_of
from pegel.streaming.statistics.column_symptoms import faults, outside, risen
from pegel.streaming.statistics.confidence_based import estimate_accuracy
from pegel.streaming.statistics.intervals import newcombe
from pegel.streaming.statistics.mix_shift import EXPLAINED, MovedShares, explained_by_mix, moved_shares
from pegel.streaming.statistics.support import weak_answers
from pegel.streaming.watch.blocks import Window
from pegel.streaming.watch.reference import Comparison
from pegel.streaming.watch.windows import WindowSum

FEWEST_LABELS = 50
LEAST_COMPLETE = 0.5
"""With fewer labels than that, or than this share of the events, the accuracy is not told: who is labelled first is
seldom like the rest. Convention."""

TIME_BEFORE = timedelta(minutes=10)
"""What is usual for segments and labels is what came so long before the evidence."""

_OF_SEGMENT = "="
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of one segment in some windows.

    Attributes:
        counts: the counters, of all grids.
        tally: the cells and names on the baseline's grid.
    """

    counts: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)


Version = tuple[str, str]
"""(model, version)."""

Segments = Mapping[str, Counted]
"""Segment -> what was counted."""


def time_before(windows: Sequence[Window]) -> tuple[datetime, datetime]:
    """The ten minutes before some windows, whole ones, so that partials that became minutes give the same.

    Args:
        windows: at least one.

    Example:
        >>> from datetime import UTC
        >>> start, end = time_before([(datetime(2026, 11, 25, 3, 0, 40, tzinfo=UTC), 10)])
        >>> f"{start:%H:%M:%S} {end:%H:%M:%S}"
        '02:50:00 03:00:00'
    """
    first = min(start for start, _ in windows)
    end = first.replace(second=0, microsecond=0)
    return end - TIME_BEFORE, end


def counted_in_windows(sums: Iterable[WindowSum], version: Version, grid: str) -> dict[str, Counted]:
    """What windows hold of a version by segment, the cells of one grid."""
    return _counted((one.key[2], one.counts, (one.tallies or {}).get(grid)) for one in sums if one.key[:2] == version)


def counted_in_partials(partials: Iterable[Partial], version: Version, grid: str) -> dict[str, Counted]:
    """The same of partials."""
    return _counted(
        (one.segment, one.tally.counts, one.tally if one.grid == grid else None)
        for one in partials
        if (one.model, one.version) == version
    )


def _counted(pieces: Iterable[tuple[str, Mapping[str, int], Tally | None]]) -> dict[str, Counted]:
    found: dict[str, Counted] = {}
    for segment, counts, tally in pieces:
        here = found.setdefault(segment, Counted())
        here.counts.update(counts)
        here.tally.add(tally or Tally())
    return found


def observe(segment: str, columns: Sequence[str], comparison: Comparison, now: Segments, before: Segments) -> Symptoms:
    """Look for everything that may be behind an incident.

    Args:
        segment: of the incident.
        columns: that rang.
        comparison: of its version.
        now: every segment in the windows of the evidence.
        before: the same of the time before; empty if nothing is known of it.
    """
    here, then = now.get(segment, Counted()), before.get(segment, Counted())
    whole = segment == ALL
    found = tuple(outside_of(here, comparison))
    return Symptoms(
        moved=bool(columns),
        faults=(*_faults(here, comparison, None if whole else then),),
        # How segments of different attributes overlap is not counted: of a part of the traffic no mix is known.
        mix=_mix(columns, comparison, now, before) if whole else (),
        outside=found,
        realised=realised(here.counts, then.counts, comparison, whole=whole),
        estimated=estimated(here, then, comparison, found, whole=whole),
    )


def _faults(here: Counted, comparison: Comparison, then: Counted | None) -> Iterator[Finding]:
    """The faults of the data.

    Args:
        here: the events.
        comparison: of the version.
        then: what is usual, if not the baseline: a segment may always have lacked what the whole has. Of few events
            nothing is told.
    """
    usual = comparison.reference.baseline if then is None else then.tally
    for name in comparison.watched:
        yield from faults(comparison.columns[name].column, here.tally, usual)
    rate = comparison.rates.get(ERROR_RATE)
    if rate is not None:
        errors = (rate.hits, rate.n) if then is None else _errors(then)
        yield from risen(FindingKind.FAILED_CALLS, "", _errors(here), errors)


def _errors(counted: Counted) -> tuple[int, int]:
    return counted.counts.get(ERRORS, 0), counted.counts.get(EVENTS, 0)


def outside_of(here: Counted, comparison: Comparison) -> Iterator[Finding]:
    """The signs that events lie outside the baseline's support."""
    for name in comparison.watched:
        yield from outside(comparison.columns[name].column, here.tally, comparison.reference.baseline)
    confidence = comparison.confidence
    if confidence is not None:
        name = confidence.column.name
        weak = weak_answers(values_of(dense(here.tally.cells.get(name, {}))), confidence.values)
        if weak.outside and weak.share is not None:
            m = int(confidence.values.sum())
            yield Finding(FindingKind.WEAK_ANSWERS, name, weak.share, weak.n, weak.expected, m)


def realised(
    now: Mapping[str, int], before: Mapping[str, int], comparison: Comparison, *, whole: bool
) -> Finding | None:
    """The accuracy by labels beside that of the time before, or of the baseline if too few labels are of then.

    Args:
        now: the counters.
        before: of the time before.
        comparison: of the version.
        whole: whether it is about all traffic: the baseline's accuracy is not usual for a segment.

    Returns:
        None while labels are too few now, or neither side has an accuracy to compare with.
    """
    labelled, correct = now.get(LABELLED, 0), now.get(CORRECT, 0)
    if not _are_enough(now):
        return None
    if _are_enough(before):
        usual = before.get(CORRECT, 0), before.get(LABELLED, 0)
    else:
        usual = _of_baseline(comparison) if whole else (0, 0)
    change = newcombe(correct, labelled, *usual)
    if change is None:
        return None
    share, before_share = correct / labelled, usual[0] / usual[1]
    lower, upper = max(0.0, before_share + change.lower), min(1.0, before_share + change.upper)
    return Finding(FindingKind.ACCURACY, "", share, labelled, before_share, usual[1], lower, upper)


def _are_enough(counts: Mapping[str, int]) -> bool:
    labelled = counts.get(LABELLED, 0)
    return labelled >= FEWEST_LABELS and labelled >= LEAST_COMPLETE * counts.get(EVENTS, 0)


def _of_baseline(comparison: Comparison) -> tuple[int, int]:
    """(right, all) answers of the baseline."""
    right = comparison.reference.baseline.cells.get(CORRECT_CELLS)
    if right is None or comparison.confidence is None:
        return 0, 0
    return sum(right.values()), int(comparison.confidence.values.sum())


def estimated(
    here: Counted, before: Counted, comparison: Comparison, found: Sequence[Finding], *, whole: bool
) -> Finding | None:
    """The accuracy without labels.

    The interval is of the estimate alone: what is usual rests on the same calibration, whose error moves both alike.

    Args:
        here: the events.
        before: the same segment in the time before.
        comparison: of the version.
        found: signs that some of the events lie outside the baseline's support. At worst all of these are answered
            wrongly, so the lower end is lower by the largest share of them.
        whole: whether it is about all traffic: then the baseline's own accuracy is the usual one. A segment may always
            have been harder than the whole, so that its own time before is.

    Returns:
        None if the baseline does not know how often an answer is right, or nothing usual is known.
    """
    confidence, correctness = comparison.confidence, comparison.correctness
    if confidence is None or correctness is None:
        return None
    cells = values_of(dense(here.tally.cells.get(confidence.column.name, {})))
    told = estimate_accuracy(cells, correctness)
    usual: float | None
    if whole:
        right, usual_n = _of_baseline(comparison)
        usual = right / usual_n if usual_n else None
    else:
        cells = values_of(dense(before.tally.cells.get(confidence.column.name, {})))
        usual, usual_n = estimate_accuracy(cells, correctness).value, int(cells.sum())
    if told.value is None or told.interval is None or usual is None or usual_n < FEWEST_LABELS:
        return None
    cost = max((one.share - (one.usual or 0.0) for one in found), default=0.0)
    return Finding(
        FindingKind.ESTIMATED_ACCURACY, "", told.value, told.n, usual, usual_n,
        max(0.0, told.interval.lower - cost), told.interval.upper,
    )  # fmt: skip


def _mix(columns: Sequence[str], comparison: Comparison, now: Segments, before: Segments) -> tuple[Finding, ...]:
    """The segments of the attribute that explains the drift of all columns best; nothing if none does."""
    best: tuple[float, tuple[Finding, ...]] = (0.0, ())
    by_attribute: dict[str, list[str]] = defaultdict(list)
    for segment in sorted({*now, *before} - {ALL}):
        by_attribute[segment.partition(_OF_SEGMENT)[0]].append(segment)
    for segments in by_attribute.values():
        moved = _moved(segments, now, before)
        explained = [_explained(column, segments, comparison, now, before) for column in columns]
        if moved.moved and explained and all(e is not None and e >= EXPLAINED for e in explained):
            best = max(best, (moved.distance, tuple(_shares(segments, now, before))), key=lambda pair: pair[0])
    return best[1]


def _moved(segments: Sequence[str], now: Segments, before: Segments) -> MovedShares:
    counts = [_by_segment(segments, where, _events) for where in (now, before)]
    return moved_shares(counts[0].sum(axis=1), counts[1].sum(axis=1))


def _explained(
    column: str, segments: Sequence[str], comparison: Comparison, now: Segments, before: Segments
) -> float | None:
    if column not in comparison.watched:
        return None
    bins = comparison.columns[column].bins
    counts = [_by_segment(segments, where, bins.count) for where in (now, before)]
    return explained_by_mix(counts[0], counts[1])


def _events(tally: Tally) -> IntArray:
    return np.array([tally.n])


def _by_segment(segments: Sequence[str], where: Segments, count: Callable[[Tally], IntArray]) -> IntArray:
    """Counts of each segment, and of the events that are in none of them; shape ``(v + 1, k)``."""
    rows = [count(where.get(segment, Counted()).tally) for segment in segments]
    rest = count(where.get(ALL, Counted()).tally) - np.sum(rows, axis=0)
    return np.array([*rows, np.maximum(rest, 0)])


def _shares(segments: Sequence[str], now: Segments, before: Segments) -> Iterator[Finding]:
    """The segments whose shares moved most, the furthest first."""
    n, m = now[ALL].tally.n, before[ALL].tally.n
    shares = [(s, now.get(s, Counted()).tally.n / n, before.get(s, Counted()).tally.n / m) for s in segments]
    for segment, share, usual in sorted(shares, key=lambda one: (-abs(one[1] - one[2]), one[0]))[:_TOLD]:
        yield Finding(FindingKind.SEGMENT_SHARE, segment, share, n, usual, m)
