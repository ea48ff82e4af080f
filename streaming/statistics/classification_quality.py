"""How good a classifier is, from counts of labels and outputs: accuracy, precision, recall, F1. Pure.

All of it follows from how often each label met each output, and such counts add up: over batches, windows, segments.
A label that is corrected is -1 for the old pair and +1 for the new one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from pegel.schemas.grids import MISSING_NAME
from pegel.streaming.statistics.intervals import Interval, wilson
from pegel.streaming.statistics.measured import UNDEFINED, Measured, mean_of, rate

Confusion = Mapping[tuple[str, str], int]
"""(label, output) -> events. Output :data:`~pegel.schemas.grids.MISSING_NAME` is no class: the model gave none."""


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """What the measures of one class are made of.

    Attributes:
        hits: events with this label that got this output (true positives).
        labels: events with this label.
        outputs: labelled events that got this output.
    """

    hits: int
    labels: int
    outputs: int


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """Precision, recall and F1 of one class, or a mean of them over the classes."""

    precision: Measured
    recall: Measured
    f1: Measured


def confusion_of(labels: Iterable[str], outputs: Iterable[str | None]) -> Counter[tuple[str, str]]:
    """Count labels and outputs, one of each an event; None is an output that is missing.

    Example:
        >>> sorted(confusion_of("aab", ["a", None, "b"]).items())
        [(('a', '__missing__'), 1), (('a', 'a'), 1), (('b', 'b'), 1)]
    """
    return Counter(
        (label, MISSING_NAME if output is None else output) for label, output in zip(labels, outputs, strict=True)
    )


def class_counts(confusion: Confusion) -> dict[str, ClassCounts]:
    """The counts of each class that was a label or an output, by name.

    Example:
        >>> class_counts({("a", "a"): 3, ("a", "b"): 1})
        {'a': ClassCounts(hits=3, labels=4, outputs=3), 'b': ClassCounts(hits=0, labels=0, outputs=1)}
    """
    hits, labels, outputs = Counter[str](), Counter[str](), Counter[str]()
    for (label, output), n in confusion.items():
        labels[label] += n
        outputs[output] += n
        if label == output:
            hits[label] += n
    names = sorted({name for name in (*labels, *outputs) if labels[name] or outputs[name]} - {MISSING_NAME})
    return {name: ClassCounts(hits[name], labels[name], outputs[name]) for name in names}


def accuracy(confusion: Confusion) -> Measured:
    """The share of labelled events with the right output, 0 to 1, with Wilson's interval.

    Weakness: of 100 events of which 99 have one label, a model that always says this one gets 99 of them right.

    Example:
        >>> accuracy({("a", "a"): 3, ("a", "b"): 1}).value
        0.75
    """
    return rate(sum(n for (label, output), n in confusion.items() if label == output), sum(confusion.values()))


def class_quality(counts: ClassCounts) -> ClassQuality:
    """Precision, recall and F1 of one class against the rest, each 0 to 1.

    - precision = hits / outputs: of what got this output, the share that deserved it;
    - recall = hits / labels: of what has this label, the share that got it;
    - F1 = 2 hits / (labels + outputs), their harmonic mean.

    Intervals are Wilson's. F1 is ``2 J / (1 + J)`` with ``J = hits / (labels + outputs - hits)``, a share of
    the events that are about the class at all, so the bounds of J give those of F1. What has no events is not defined
    (scikit-learn says 0 and warns, unless it is told ``zero_division=nan``).

    References:
        van Rijsbergen 1979, "Information Retrieval", chapter 7.

    Example:
        >>> found = class_quality(ClassCounts(hits=2, labels=4, outputs=2))
        >>> found.precision.value, found.recall.value, round(found.f1.value, 4)
        (1.0, 0.5, 0.6667)
    """
    jaccard = rate(counts.hits, counts.labels + counts.outputs - counts.hits)
    f1 = UNDEFINED
    if jaccard.value is not None and jaccard.interval is not None:
        bounds = Interval(_f1_of(jaccard.interval.lower), _f1_of(jaccard.interval.upper))
        f1 = Measured(_f1_of(jaccard.value), jaccard.n, bounds)
    return ClassQuality(rate(counts.hits, counts.outputs), rate(counts.hits, counts.labels), f1)


def macro(confusion: Confusion) -> ClassQuality:
    """The unweighted means of the classes' precisions, recalls and F1s, each 0 to 1: every class counts alike.

    A class without outputs has no precision and is left out of that mean; its F1 is 0 and counts, so it does not pay to
    never say a class. Intervals are those of :func:`~pegel.streaming.statistics.measured.mean_of`. The precisions are
    of different events, and so are the recalls; but a wrong answer counts in the F1 of two classes, so their mean is
    less sure than independent parts would make it, by a factor of up to sqrt(2) that the delta method gives.

    References:
        Takahashi, Yamamoto, Kuchiba and Koyama 2022, "Confidence interval for micro-averaged F1 and macro-averaged F1
        scores" (the variance of a mean of F1s).

    Example:
        >>> found = macro({("a", "a"): 3, ("a", "b"): 1, ("b", "b"): 1})
        >>> found.precision.value, found.recall.value, round(found.f1.value, 4)
        (0.75, 0.875, 0.7619)
    """
    counts = class_counts(confusion)
    found = {name: class_quality(one) for name, one in counts.items()}
    return ClassQuality(
        mean_of([one.precision for one in found.values()]),
        mean_of([one.recall for one in found.values()]),
        mean_of([one.f1 for one in found.values()], _correlation_of_f1s(confusion, counts)),
    )


def micro(confusion: Confusion) -> ClassQuality:
    """Precision, recall and F1 of all classes' counts together, each 0 to 1.

    Where no output is missing, all three are the accuracy. Precision leaves out events that got none. Given how many
    did, F1 = 2 hits / (labels + outputs) is the recall times a constant, so its interval is Wilson's times it.

    Example:
        >>> found = micro({("a", "a"): 3, ("b", "a"): 1, ("b", "__missing__"): 2})
        >>> found.precision.value, found.recall.value, found.f1.value
        (0.75, 0.5, 0.6)
    """
    n = sum(confusion.values())
    answered = n - sum(count for (_, output), count in confusion.items() if output == MISSING_NAME)
    hits = sum(count for (label, output), count in confusion.items() if label == output)
    recall, f1 = rate(hits, n), UNDEFINED
    if recall.value is not None and (bounds := wilson(hits, n)) is not None:
        factor = 2 * n / (n + answered)
        f1 = Measured(2 * hits / (n + answered), n, Interval(bounds.lower * factor, min(1.0, bounds.upper * factor)))
    return ClassQuality(rate(hits, answered), recall, f1)


def _f1_of(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


def _correlation_of_f1s(confusion: Confusion, counts: Mapping[str, ClassCounts]) -> float:
    # With s = labels + outputs, a hit moves its class's F1 by (2 - 2 F1) / s; an error moves that of its label and that
    # of its output by -F1 / s each. The variances of the classes leave out the product of the last two.
    per_event = {name: 1 / (one.labels + one.outputs) for name, one in counts.items() if one.labels + one.outputs > 0}
    f1 = {name: 2 * counts[name].hits * each for name, each in per_event.items()}
    alone = together = 0.0
    for (label, output), n in confusion.items():
        if label == output and label in f1:
            alone += n * ((2 - 2 * f1[label]) * per_event[label]) ** 2
            continue
        moved = [f1[name] * per_event[name] for name in (label, output) if name in f1]
        alone += n * sum(each**2 for each in moved)
        together += n * sum(moved) ** 2 - n * sum(each**2 for each in moved)
    return sqrt(1 + together / alone) if alone > 0 else 1.0
