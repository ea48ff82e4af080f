"""The gate: whether a challenger wrongs a group more than the settings allow. Pure.

Two rules, each for every metric, positive label and grouping that the settings name:

- **Gap.** Two groups with rates p > q lie further apart than ``max_difference``; and Newcombe's interval of p - q at
  confidence 1 - level lies above 0; and the champion's gap between the same two groups, in the same direction, is
  smaller. (A challenger that narrows a gap is not refused for what is left: the champion that would go on is worse.)
- **Worse.** A group's rate is worse than with the champion by more than ``max_increase_over_champion``: with b rows
  that only the challenger gets wrong and c that only the champion does, (b - c) / n > limit; and McNemar's exact
  one-sided p-value of b against c is at most the level. A selection rate is neither good nor bad and has no such rule.

The level is :data:`LEVEL` over the number of comparisons that both rules make (Bonferroni): if no group is treated
otherwise than another and both models are equally good, a challenger is refused with a chance of at most about 5 %. So
a gap that chance may have made rejects nothing, and a group too small for the limit cannot reject; ``detail`` says
what could not be judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pegel.conf.fairness_settings import FairnessSettings
from pegel.lifecycle.fairness.group_metrics import Bools, GroupRate, Metric, MetricByGroup, denominator, measure
from pegel.lifecycle.fairness.groups import Grouping, attribute_text, group_text
from pegel.lifecycle.fairness.two_rates import difference_interval, p_value_of_worse

LEVEL = 0.05
"""The chance of refusing a challenger that is as fair as the champion. Convention, not derived."""

_GOOD = frozenset({Metric.ACCURACY, Metric.TRUE_POSITIVE_RATE})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Attributes:
        refused: whether the challenger may not be promoted.
        detail: why, or what was compared, as a part of a sentence; '' if no attribute is configured.
        comparisons: how many were made.
    """

    refused: bool
    detail: str
    comparisons: int


@dataclass(frozen=True, slots=True)
class _Gap:
    """Two groups, the one with the higher rate first."""

    found: MetricByGroup
    high: GroupRate
    low: GroupRate
    champion_gap: float

    @property
    def size(self) -> float:
        return _value(self.high) - _value(self.low)

    def breaks(self, limit: float, level: float) -> bool:
        if self.size <= limit or self.champion_gap >= self.size:
            return False
        sure = difference_interval(self.high.hits, self.high.n, self.low.hits, self.low.n, 1 - level)
        return sure is not None and sure.lower > 0

    def sentence(self, limit: float) -> str:
        return (
            f"its {_name(self.found)} by {attribute_text(self.found.attributes)} is {_share(self.high)} for "
            f"{group_text(self.high.group)!r} and {_share(self.low)} for {group_text(self.low.group)!r}, which is more "
            f"than {limit:.1%} apart"
        )


@dataclass(frozen=True, slots=True)
class _Worse:
    """One group, and on how many of its rows only one of the two models is wrong."""

    found: MetricByGroup
    challenger: GroupRate
    champion: GroupRate
    only_challenger: int
    only_champion: int

    @property
    def size(self) -> float:
        return (self.only_challenger - self.only_champion) / self.challenger.n

    def breaks(self, limit: float, level: float) -> bool:
        return self.size > limit and p_value_of_worse(self.only_challenger, self.only_champion) <= level

    def sentence(self, limit: float) -> str:
        return (
            f"its {_name(self.found)} for {group_text(self.challenger.group)!r} by "
            f"{attribute_text(self.found.attributes)} is {_share(self.challenger)} where the champion's is "
            f"{_share(self.champion)}, which is worse by more than {limit:.1%}"
        )


def judge(
    labels: Sequence[str],
    challenger: Sequence[str],
    champion: Sequence[str],
    groupings: Sequence[Grouping],
    settings: FairnessSettings,
) -> Verdict:
    """Judge the challenger by every grouping; without groupings nothing is judged or refused.

    Args:
        labels: the true classes.
        challenger: its outputs, in the same order.
        champion: its outputs.
        groupings: of the same rows, by the attributes of the settings.
        settings: the metrics and the limits.
    """
    if not groupings:
        return Verdict(False, "", 0)
    found = _judged(labels, challenger, groupings, settings)
    before = _judged(labels, champion, groupings, settings)
    gaps = [] if settings.max_difference is None else [
        gap for now, then in zip(found, before, strict=True) for gap in _gaps(now, then)
    ]  # fmt: skip
    worse = [] if settings.max_increase_over_champion is None else list(
        _all_worse(found, before, (labels, challenger, champion), groupings)
    )  # fmt: skip
    made = len(gaps) + len(worse)
    by = ", ".join(attribute_text(grouping.attributes) for grouping in groupings)
    if not made:
        rows = settings.min_group_rows
        return Verdict(False, f"fairness by {by} could not be judged, since no group has {rows} rows to compare", 0)
    level = LEVEL / made
    broken: list[tuple[float, str]] = []
    for rules, limit in ((gaps, settings.max_difference), (worse, settings.max_increase_over_champion)):
        broken += [(rule.size, rule.sentence(limit or 0.0)) for rule in rules if rule.breaks(limit or 0.0, level)]
    if not broken:
        return Verdict(False, f"fairness by {by} is within its limits in {made} comparisons", made)
    broken.sort(key=lambda item: -item[0])
    more = f" (and {len(broken) - 1} more of {made} comparisons)" if len(broken) > 1 else ""
    return Verdict(True, f"it is refused for fairness: {broken[0][1]}{more}", made)


def _judged(
    labels: Sequence[str], outputs: Sequence[str], groupings: Sequence[Grouping], settings: FairnessSettings
) -> list[MetricByGroup]:
    found = measure(
        labels,
        outputs,
        groupings,
        positive_labels=settings.positive_labels,
        min_group_rows=settings.min_group_rows,
    )
    return [one for one in found if one.metric in settings.metrics]


def _gaps(found: MetricByGroup, champion: MetricByGroup) -> Iterator[_Gap]:
    then = {rate.group: rate for rate in champion.rates}
    for one, other in combinations(found.judged, 2):
        high, low = (one, other) if _value(one) >= _value(other) else (other, one)
        # Both models answered the same rows, so n is the same but for nothing.
        yield _Gap(found, high, low, _value(then[high.group]) - _value(then[low.group]))


def _all_worse(
    found: Sequence[MetricByGroup],
    champion: Sequence[MetricByGroup],
    answers: tuple[Sequence[str], Sequence[str], Sequence[str]],
    groupings: Sequence[Grouping],
) -> Iterator[_Worse]:
    labels, now, then = (np.array(list(column), dtype=object) for column in answers)
    codes = {grouping.attributes: grouping.codes for grouping in groupings}
    for one, other in zip(found, champion, strict=True):
        if one.metric is Metric.SELECTION_RATE:
            continue
        truth = labels == one.label if one.label else np.ones(len(labels), dtype=bool)
        wrong = [_wrong(one, labels, outputs, truth) for outputs in (now, then)]
        about = denominator(one.metric, truth)
        for code, (rate, rate_then) in enumerate(zip(one.rates, other.rates, strict=True)):
            if rate.judged:
                rows = about & (codes[one.attributes] == code)
                only_now = int((rows & wrong[0] & ~wrong[1]).sum())
                only_then = int((rows & wrong[1] & ~wrong[0]).sum())
                yield _Worse(one, rate, rate_then, only_now, only_then)


def _wrong(found: MetricByGroup, labels: Bools, outputs: Bools, truth: Bools) -> Bools:
    right = (outputs == found.label) == truth if found.label else outputs == labels
    return np.asarray(~np.asarray(right, dtype=bool))


def _value(rate: GroupRate) -> float:
    return rate.value or 0.0


def _name(found: MetricByGroup) -> str:
    words = str(found.metric).replace("_", " ")
    return f"{words} for the label {found.label!r}" if found.label else words


def _share(rate: GroupRate) -> str:
    return f"{_value(rate):.1%} of {rate.n}"
