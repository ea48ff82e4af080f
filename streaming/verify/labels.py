"""What labels must have changed in the counts, once more from the rows: one label after the other. Pure.

The label of a prediction is the one with the highest (feedback_time, feedback_id). A label takes effect in the
micro-batch that has both it and its prediction.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]
Key = tuple[str, datetime]


@dataclass(slots=True)
class LabelCounts:
    """What the labels of some predictions changed.

    Attributes:
        labelled: (batch_id, event key) -> change of ``labelled``; where it is 0, the label was corrected.
        correct: the same for ``correct``.
        matched: batch_id -> labels that found their prediction in it.
        joined_later: batch_id -> of these, those that were stored before it.
        unmatched: batch_id -> labels of it whose prediction was not there yet.
    """

    labelled: Counter[tuple[int, Key]] = field(default_factory=Counter)
    correct: Counter[tuple[int, Key]] = field(default_factory=Counter)
    matched: Counter[int] = field(default_factory=Counter)
    joined_later: Counter[int] = field(default_factory=Counter)
    unmatched: Counter[int] = field(default_factory=Counter)


def count_labels(predictions: Mapping[Key, tuple[int, str | None]], labels: Iterable[Row]) -> LabelCounts:
    """Join labels to predictions.

    Args:
        predictions: (event_id, event_time) -> batch_id and output.
        labels: rows of ``feedback`` about these or about none: ``event_id, prediction_time, feedback_time,
            feedback_id, batch_id, label``.

    Example:
        >>> day = datetime(2026, 11, 25)
        >>> label = {"event_id": "e", "prediction_time": day, "feedback_time": day, "feedback_id": "f", "label": "a"}
        >>> counts = count_labels({("e", day): (3, "a")}, [label | {"batch_id": 2}])
        >>> counts.correct, counts.joined_later, counts.unmatched
        (Counter({(3, ('e', datetime.datetime(2026, 11, 25, 0, 0))): 1}), Counter({3: 1}), Counter({2: 1}))
    """
    counts = LabelCounts()
    about: dict[Key, list[Row]] = defaultdict(list)
    for label in labels:
        key = label["event_id"], label["prediction_time"]
        stored = predictions.get(key)
        if stored is None or stored[0] > label["batch_id"]:
            counts.unmatched[label["batch_id"]] += 1
        if stored is not None:
            about[key].append(label)
            counts.matched[max(stored[0], label["batch_id"])] += 1
            counts.joined_later[stored[0]] += stored[0] > label["batch_id"]
    for key, found in about.items():
        _follow(key, *predictions[key], found, counts)
    return counts


def _follow(key: Key, batch_id: int, output: str | None, labels: Sequence[Row], counts: LabelCounts) -> None:
    """From micro-batch to micro-batch, what stands as the label of one prediction."""
    by_batch: dict[int, list[Row]] = defaultdict(list)
    for label in labels:
        by_batch[max(batch_id, label["batch_id"])].append(label)
    best: tuple[Any, ...] | None = None
    for batch in sorted(by_batch):
        before = best
        ranked = [(label["feedback_time"], label["feedback_id"], label["label"]) for label in by_batch[batch]]
        best = max(ranked if before is None else [before, *ranked])
        counts.labelled[batch, key] += before is None
        counts.correct[batch, key] += (best[2] == output) - (before is not None and before[2] == output)
