"""Fairness from counts: rates by group, and how far they lie apart. Pure.

Of a group four numbers are kept, each of which adds up over batches and windows. A group is a segment of the stream,
one attribute's value or an intersection of several, and a correction of a label is -1 and +1 as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pegel.streaming.statistics.classification_quality import Confusion
from pegel.streaming.statistics.intervals import Interval
from pegel.streaming.statistics.measured import Measured, rate
from pegel.streaming.statistics.two_rates import difference_interval, ratio_interval


class Metric(StrEnum):
    """A rate, by its name in settings, in MLflow and in Fairlearn."""

    ACCURACY = "accuracy"
    SELECTION_RATE = "selection_rate"
    TRUE_POSITIVE_RATE = "true_positive_rate"
    FALSE_POSITIVE_RATE = "false_positive_rate"
    FALSE_NEGATIVE_RATE = "false_negative_rate"


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """A group's labelled events, for one label that is positive against all the rest.

    Attributes:
        events: all of them.
        positives: those whose label is positive.
        selected: those whose output is positive.
        hits: those of which both are.
    """

    events: int
    positives: int
    selected: int
    hits: int

    def __add__(self, other: "GroupCounts") -> "GroupCounts":
        """Both together."""
        return GroupCounts(
            self.events + other.events,
            self.positives + other.positives,
            self.selected + other.selected,
            self.hits + other.hits,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """How far rates lie apart.

    Attributes:
        difference: the highest less the lowest, 0 to 1.
        difference_interval: Newcombe's, as if the two groups had been chosen beforehand.
        ratio: the lowest over the highest, 0 to 1; None where all are 0.
        ratio_interval: Katz's, likewise; None where a rate is 0.
        lowest: position of the group with the lowest rate.
        highest: likewise.
    """

    difference: float
    difference_interval: Interval | None
    ratio: float | None
    ratio_interval: Interval | None
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class GroupRates:
    """A metric of all groups.

    Attributes:
        rates: group -> its rate, with Wilson's interval; n is the events behind the rate itself.
        judged: the groups with enough events behind their rate, in order.
        gap: of the judged groups; None if they are fewer than two.
    """

    rates: Mapping[str, Measured]
    judged: tuple[str, ...]
    gap: Gap | None


def counts_of(confusion: Confusion, positive: str) -> GroupCounts:
    """The counts of a group, from how often each label met each output in it.

    Example:
        >>> counts_of({("yes", "yes"): 3, ("no", "yes"): 1, ("no", "no"): 2}, "yes")
        GroupCounts(events=6, positives=3, selected=4, hits=3)
    """
    return GroupCounts(
        sum(confusion.values()),
        sum(n for (label, _), n in confusion.items() if label == positive),
        sum(n for (_, output), n in confusion.items() if output == positive),
        confusion.get((positive, positive), 0),
    )


def hits_and_n(counts: GroupCounts, metric: Metric) -> tuple[int, int]:
    """What a rate is made of: the events that count, and all that it is about.

    Example:
        >>> hits_and_n(GroupCounts(events=6, positives=3, selected=4, hits=3), Metric.FALSE_POSITIVE_RATE)
        (1, 3)
    """
    negatives, wrongly = counts.events - counts.positives, counts.selected - counts.hits
    return {
        Metric.ACCURACY: (counts.hits + negatives - wrongly, counts.events),
        Metric.SELECTION_RATE: (counts.selected, counts.events),
        Metric.TRUE_POSITIVE_RATE: (counts.hits, counts.positives),
        Metric.FALSE_POSITIVE_RATE: (wrongly, negatives),
        Metric.FALSE_NEGATIVE_RATE: (counts.positives - counts.hits, counts.positives),
    }[metric]


def gap_of(rates: Sequence[tuple[int, int]]) -> Gap | None:
    """How far rates lie apart, by Fairlearn's definitions ``between_groups``.

    The two groups are the extremes of several, so chance alone makes a gap between groups that are equal, and the more
    groups the larger. An interval that holds 0 (of the ratio, 1) says that there may be none; one that does not, among
    many groups, is no proof.

    Args:
        rates: (hits, n) of each group; those with n = 0 are left out.

    Returns:
        None if fewer than two are left.

    Example:
        >>> found = gap_of([(5, 10), (0, 0), (8, 10), (6, 10)])
        >>> round(found.difference, 9), found.ratio, found.lowest, found.highest
        (0.3, 0.625, 0, 2)
    """
    known = [(hits / n, position) for position, (hits, n) in enumerate(rates) if n > 0]
    if len(known) < 2:
        return None
    (low, lowest), (high, highest) = min(known), max(known)
    return Gap(
        difference=high - low,
        difference_interval=difference_interval(*rates[highest], *rates[lowest]),
        ratio=low / high if high > 0 else None,
        ratio_interval=ratio_interval(*rates[lowest], *rates[highest]),
        lowest=lowest,
        highest=highest,
    )


def group_rates(groups: Mapping[str, GroupCounts], metric: Metric, min_events: int = 1) -> GroupRates:
    """A metric of all groups and the gap between them; Fairlearn's numbers, but for rates of no events.

    Fairlearn says 0 where nothing is behind a rate; here that is not defined, and no group is compared by it.
    Demographic parity's difference and ratio are the gap of the selection rate; equalised odds' difference is the
    larger of the gaps of the true and the false positive rate.

    Args:
        groups: name -> its counts.
        metric: which rate.
        min_events: groups with fewer events **behind this rate** are reported and not judged.

    References:
        Bird et al. 2020, "Fairlearn: a toolkit for assessing and improving fairness in AI"; Hardt, Price and Srebro
        2016, "Equality of opportunity in supervised learning".

    Example:
        >>> groups = {"f": GroupCounts(10, 4, 5, 4), "m": GroupCounts(10, 4, 2, 2), "x": GroupCounts(1, 1, 0, 0)}
        >>> found = group_rates(groups, Metric.TRUE_POSITIVE_RATE, min_events=4)
        >>> found.judged, found.gap.difference, found.gap.ratio
        (('f', 'm'), 0.5, 0.5)
    """
    parts = {name: hits_and_n(counts, metric) for name, counts in groups.items()}
    judged = tuple(name for name, (_, n) in parts.items() if n >= max(1, min_events))
    return GroupRates(
        {name: rate(*part) for name, part in parts.items()}, judged, gap_of([parts[name] for name in judged])
    )
