"""The gate: whether a challenger wrongs a group more than the settings allow. Pure.

Two rules, each for every metric, positive label and grouping that the settings name:

- **Gap.** Two groups with rates p > q lie further apart than ``max_difference``; Newcombe's interval of p - q at
  confidence 1 - level lies above 0; and the gap is surely wider than the champion's between the same two: w - z sqrt(v)
  > 0. Both models answered the same rows, so w is (g - l) / n of the first group less that of the second, with g rows
  that only the challenger's rate counts and l that only the champion's does; v is the sum over both groups of
  ((g + l) - (g - l)^2 / n) / n^2; z is the normal quantile of 1 - level. A challenger that leaves a gap as it was is
  not refused for it: the champion that would go on serving is no better. A version without a champion has none to be
  no worse than, so its gap counts by itself.
- **Worse.** A group's rate is worse than with the champion by more than ``max_increase_over_champion``: with b rows
  that only the challenger gets wrong and c that only the champion does, (b - c) / n > limit; and McNemar's exact
  one-sided p-value of b against c is at most the level. A selection rate is neither good nor bad and has no such rule.

The level is :data:`LEVEL` over the number of comparisons that both rules make (Bonferroni), so that a challenger as
good as the champion for every group is refused with a chance of about 5 % at most. A gap that chance may have made
rejects nothing, and a group too small for the limit cannot reject; ``detail`` says when nothing could be compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pegel.conf.fairness_settings import FairnessSettings
from pegel.lifecycle.fairness.group_metrics import Bools, GroupRate, MetricByGroup, denominator, measure
from pegel.lifecycle.fairness.groups import Grouping, attribute_text, group_text
from pegel.streaming.statistics.group_rates import Metric
from pegel.streaming.statistics.two_rates import difference_interval, p_value_of_worse

LEVEL = 0.05
"""The chance of refusing a challenger that is as fair as the champion. Convention, not derived."""

Objects = NDArray[Any]

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
class _Change:
    """One group's rate with both models, on the same rows.

    Attributes:
        now: the challenger's.
        then: the champion's.
        gained: rows that only the challenger's rate counts.
        lost: rows that only the champion's counts.
    """

    found: MetricByGroup
    now: GroupRate
    then: GroupRate
    gained: int
    lost: int

    @property
    def value(self) -> float:
        return self.now.hits / self.now.n

    @property
    def step(self) -> float:
        return (self.gained - self.lost) / self.now.n

    @property
    def variance(self) -> float:
        return (self.gained + self.lost - (self.gained - self.lost) ** 2 / self.now.n) / self.now.n**2


@dataclass(frozen=True, slots=True)
class _Gap:
    """Two groups, the one with the higher rate first; ``alone`` if there is no champion."""

    high: _Change
    low: _Change
    alone: bool

    @property
    def size(self) -> float:
        return self.high.value - self.low.value

    def breaks(self, limit: float, level: float) -> bool:
        if self.size <= limit:
            return False
        high, low = self.high.now, self.low.now
        sure = difference_interval(high.hits, high.n, low.hits, low.n, 1 - level)
        if sure is None or sure.lower <= 0:
            return False
        wider, variance = self.high.step - self.low.step, self.high.variance + self.low.variance
        return self.alone or wider > float(ndtri(1 - level)) * sqrt(variance)

    def sentence(self, limit: float) -> str:
        found = self.high.found
        more = "" if self.alone else " and more than with the champion"
        return (
            f"its {_name(found)} by {attribute_text(found.attributes)} is {_share(self.high.now)} for "
            f"{group_text(self.high.now.group)!r} and {_share(self.low.now)} for {group_text(self.low.now.group)!r}, "
            f"which is more than {100 * limit:.1f} points apart{more}"
        )


@dataclass(frozen=True, slots=True)
class _Worse:
    """One group that may fare worse."""

    change: _Change

    @property
    def _counts(self) -> tuple[int, int]:
        good = self.change.found.metric in _GOOD
        return (self.change.lost, self.change.gained) if good else (self.change.gained, self.change.lost)

    @property
    def size(self) -> float:
        worse, better = self._counts
        return (worse - better) / self.change.now.n

    def breaks(self, limit: float, level: float) -> bool:
        return self.size > limit and p_value_of_worse(*self._counts) <= level

    def sentence(self, limit: float) -> str:
        found = self.change.found
        return (
            f"its {_name(found)} for {group_text(self.change.now.group)!r} by {attribute_text(found.attributes)} is "
            f"{_share(self.change.now)} where the champion's is {_share(self.change.then)}, which is worse by more "
            f"than {100 * limit:.1f} points"
        )


def judge(
    labels: Sequence[str],
    challenger: Sequence[str],
    champion: Sequence[str] | None,
    groupings: Sequence[Grouping],
    settings: FairnessSettings,
) -> Verdict:
    """Judge the challenger by every grouping; without groupings nothing is judged or refused.

    Args:
        labels: the true classes.
        challenger: its outputs, in the same order.
        champion: its outputs; None if there is none: then gaps alone are judged, each by itself.
        groupings: of the same rows, by the attributes of the settings.
        settings: the metrics and the limits.
    """
    if not groupings:
        return Verdict(False, "", 0)
    alone = champion is None
    changes = _changes(labels, challenger, challenger if champion is None else champion, groupings, settings)
    gaps = [] if settings.max_difference is None else [gap for of_metric in changes for gap in _gaps(of_metric, alone)]
    worse = [] if settings.max_increase_over_champion is None or alone else [
        _Worse(change) for of_metric in changes for change in of_metric
        if change.found.metric is not Metric.SELECTION_RATE
    ]  # fmt: skip
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


def _changes(
    labels: Sequence[str],
    challenger: Sequence[str],
    champion: Sequence[str],
    groupings: Sequence[Grouping],
    settings: FairnessSettings,
) -> list[list[_Change]]:
    """For each metric and grouping the groups with enough rows."""
    now, then = (
        measure(
            labels,
            outputs,
            groupings,
            positive_labels=settings.positive_labels,
            min_group_rows=settings.min_group_rows,
        )
        for outputs in (challenger, champion)
    )
    codes = {grouping.attributes: grouping.codes for grouping in groupings}
    truth, *said = (np.array(list(column), dtype=object) for column in (labels, challenger, champion))
    changes = []
    for one, other in zip(now, then, strict=True):
        if one.metric not in settings.metrics:
            continue
        about = denominator(one.metric, np.asarray(truth == one.label, dtype=bool))
        hit, hit_then = (about & _hits(one, truth, outputs) for outputs in said)
        # Both models answered the same rows, so that a group is judged for both or for neither.
        changes.append(
            [
                _Change(one, rate, before, int((own & hit & ~hit_then).sum()), int((own & hit_then & ~hit).sum()))
                for code, (rate, before) in enumerate(zip(one.rates, other.rates, strict=True))
                if rate.judged
                for own in [codes[one.attributes] == code]
            ]
        )
    return changes


def _hits(found: MetricByGroup, truth: Objects, outputs: Objects) -> Bools:
    if found.metric is Metric.ACCURACY:
        return np.asarray(outputs == truth, dtype=bool)
    selected = np.asarray(outputs == found.label, dtype=bool)
    return ~selected if found.metric is Metric.FALSE_NEGATIVE_RATE else selected


def _gaps(changes: Sequence[_Change], alone: bool) -> Iterator[_Gap]:
    for one, other in combinations(changes, 2):
        yield _Gap(one, other, alone) if one.value >= other.value else _Gap(other, one, alone)


def _name(found: MetricByGroup) -> str:
    words = str(found.metric).replace("_", " ")
    return f"{words} for the label {found.label!r}" if found.label else words


def _share(rate: GroupRate) -> str:
    return f"{rate.hits / rate.n:.1%} of {rate.n}"
