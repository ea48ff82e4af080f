"""Rates by group, by Fairlearn's ``MetricFrame``, each with its own n and interval. Pure.

A classifier of many classes has an accuracy by group. The other rates need to know what is positive: for each chosen
label, the label is positive and all the rest negative (one against the rest). An average over all labels is not made:
it would hide the one label by which a group is wronged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pegel.lifecycle.fairness.groups import Group, Grouping
from pegel.streaming.statistics.group_rates import Gap, Metric, gap_of
from pegel.streaming.statistics.intervals import Interval, wilson

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GroupRate:
    """A metric of one group.

    Attributes:
        group: which one.
        rows: how many rows the group has.
        n: rows behind the rate: all for accuracy and selection rate, positives for the true positive and the false
            negative rate, negatives for the false positive rate.
        hits: how many of them count.
        value: hits / n; None if n is 0, where the rate is not defined.
        interval: Wilson's, 95 %.
        judged: whether n reaches the number of rows that a group must have to be compared.
    """

    group: Group
    rows: int
    n: int
    hits: int
    value: float | None
    interval: Interval | None
    judged: bool


@dataclass(frozen=True, slots=True)
class MetricByGroup:
    """A metric of all groups of one grouping, and how far the groups that are judged lie apart.

    Attributes:
        metric: which one.
        label: the label that is positive; '' for accuracy, which needs none.
        attributes: of the grouping.
        rates: one a group, in the order of the grouping.
        overall: of all rows together; its ``group`` is empty.
    """

    metric: Metric
    label: str
    attributes: tuple[str, ...]
    rates: tuple[GroupRate, ...]
    overall: GroupRate

    @property
    def judged(self) -> tuple[GroupRate, ...]:
        """The groups with enough rows behind their rate."""
        return tuple(rate for rate in self.rates if rate.judged)

    @property
    def difference(self) -> float | None:
        """The highest rate less the lowest, over the judged groups; None if these are fewer than two."""
        return self._gap.difference if self._gap else None

    @property
    def difference_interval(self) -> Interval | None:
        """Newcombe's interval, 95 %, of that difference, as if its two groups had been chosen beforehand."""
        return self._gap.difference_interval if self._gap else None

    @property
    def ratio(self) -> float | None:
        """The lowest rate over the highest, 0 to 1; None if these are fewer than two or all are 0."""
        return self._gap.ratio if self._gap else None

    @property
    def _gap(self) -> Gap | None:
        return gap_of([(rate.hits, rate.n) for rate in self.judged])


def measure(
    labels: Sequence[str],
    outputs: Sequence[str],
    groupings: Sequence[Grouping],
    *,
    positive_labels: Sequence[str],
    min_group_rows: int,
) -> tuple[MetricByGroup, ...]:
    """Measure every metric by every grouping: accuracy, and the four others for each positive label.

    Args:
        labels: the true classes.
        outputs: what the model said, in the same order; an output that is no class (a model's failure) is just wrong.
        groupings: of the same rows.
        positive_labels: each is positive against all the rest, one at a time; without any, accuracy is all there is.
        min_group_rows: groups with fewer rows behind a rate are reported and not judged.

    Example:
        >>> from pegel.lifecycle.fairness.groups import group_rows
        >>> groupings = group_rows({"sex": ["f", "f", "m", "m"]}, 10)
        >>> found = measure(list("0011"), list("0111"), groupings, positive_labels=["1"], min_group_rows=1)
        >>> [(str(one.metric), [rate.value for rate in one.rates]) for one in found[:2]]
        [('accuracy', [0.5, 1.0]), ('selection_rate', [0.5, 1.0])]
        >>> found[3].metric.value, [rate.value for rate in found[3].rates], found[3].difference
        ('false_positive_rate', [0.5, None], None)
    """
    if not labels:
        return ()
    truth, said = np.array(list(labels), dtype=object), np.array(list(outputs), dtype=object)
    found = []
    for grouping in groupings:
        right = np.asarray(truth == said, dtype=bool)
        found += _by_group("", np.ones_like(right), right, (Metric.ACCURACY,), grouping, min_group_rows=min_group_rows)
        for label in positive_labels:
            found += _by_group(label, truth == label, said == label, _RATES, grouping, min_group_rows=min_group_rows)
    return tuple(found)


def denominator(metric: Metric, truth: Bools) -> Bools:
    """Which rows a metric is about; ``truth`` says which are positive."""
    if metric in _OF_ALL:
        return np.ones_like(truth)
    return ~truth if metric is Metric.FALSE_POSITIVE_RATE else truth


_ROWS, _POSITIVES = "rows", "positives"
_OF_ALL = (Metric.ACCURACY, Metric.SELECTION_RATE)
_RATES = (
    Metric.SELECTION_RATE,
    Metric.TRUE_POSITIVE_RATE,
    Metric.FALSE_POSITIVE_RATE,
    Metric.FALSE_NEGATIVE_RATE,
)


def _by_group(
    label: str, truth: Bools, said: Bools, metrics: Sequence[Metric], grouping: Grouping, *, min_group_rows: int
) -> list[MetricByGroup]:
    from fairlearn.metrics import MetricFrame, count

    functions: dict[str, Callable[..., Any]] = {metric: _function(metric) for metric in metrics}
    functions |= {_ROWS: count, _POSITIVES: _positives}
    # Fairlearn would drop rows whose group is missing; codes never are. (An array of one row it would not take.)
    frame = MetricFrame(
        metrics=functions,
        y_true=truth.astype(np.int64),
        y_pred=said.astype(np.int64),
        sensitive_features={"group": grouping.codes},
    )
    by_code = frame.by_group.to_dict("index")
    empty = dict.fromkeys(functions, 0.0)
    return [
        MetricByGroup(
            metric,
            label,
            grouping.attributes,
            tuple(
                _rate(group, by_code.get(code, empty), metric, min_group_rows)
                for code, group in enumerate(grouping.groups)
            ),
            _rate((), frame.overall.to_dict(), metric, min_group_rows),
        )
        for metric in metrics
    ]


def _function(metric: Metric) -> Callable[..., Any]:
    import fairlearn.metrics

    if metric is Metric.ACCURACY:
        # What was right is 'selected' here, so that one code serves two classes and many.
        return partial(fairlearn.metrics.selection_rate, pos_label=1)
    return partial(getattr(fairlearn.metrics, metric), pos_label=1)


def _positives(y_true: Any, y_pred: Any) -> int:
    del y_pred
    return int(np.sum(y_true))


def _rate(group: Group, row: dict[str, float], metric: Metric, min_group_rows: int) -> GroupRate:
    # Fairlearn says 0 where nothing is behind a rate; that is not a rate of 0.
    rows, positives = int(row[_ROWS]), int(row[_POSITIVES])
    n = {Metric.FALSE_POSITIVE_RATE: rows - positives, **dict.fromkeys(_OF_ALL, rows)}.get(metric, positives)
    hits = round(row[metric] * n) if n else 0
    value = hits / n if n else None
    return GroupRate(group, rows, n, hits, value, wilson(hits, n), n >= max(1, min_group_rows))
