"""The accuracy of a window without labels, and whether it may be estimated, as numbers. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from pegel.schemas import metric_names
from pegel.streaming.statistics.cells import IntArray
from pegel.streaming.statistics.confidence_based import estimate_accuracy
from pegel.streaming.statistics.intervals import wilson
from pegel.streaming.statistics.support import weak_answers
from pegel.streaming.watch.number import Number
from pegel.streaming.watch.reference import ColumnBaseline, Comparison


def estimate_numbers(values: IntArray, confidence: ColumnBaseline, comparison: Comparison) -> Iterator[Number]:
    """The share of weak answers, and the accuracy that is expected of the window's answers.

    Where weak answers say that events lie outside the baseline's support the accuracy is null, its n and its baseline
    stay: the estimate is switched off. Where the baseline does not know which of its answers were right there is none.

    Args:
        values: the window's confidences by cell, in ascending order, shape ``(1026,)``.
        confidence: the column's baseline.
        comparison: of the version.
    """
    support = weak_answers(values, confidence.values)
    if support.share is None:
        return
    yield Number(
        metric_names.WEAK_ANSWER_SHARE,
        support.share,
        column=confidence.column.name,
        interval=wilson(round(support.share * support.n), support.n),
        p_value=support.p_value,
        n=support.n,
        baseline_id=confidence.baseline_id,
    )
    if comparison.correctness is not None:
        found = estimate_accuracy(values, comparison.correctness)
        number = Number(metric_names.ESTIMATED_ACCURACY, None, support.n, baseline_id=confidence.baseline_id)
        yield number if support.outside else replace(number, value=found.value, interval=found.interval)
