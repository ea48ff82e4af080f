"""What labels must have changed in the partials of each micro-batch, once more from rows. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pegel.streaming.verify.labels import Key, LabelCounts, count_labels
from pegel.streaming.verify.partials import micros
from pegel.streaming.verify.recount import Place
from pegel.streaming.verify.segments import segments_of

LABELS = "kind = 'label' AND label IS NOT NULL"
"""Which rows of ``feedback`` are labels."""

LABEL_COLUMNS = "event_id, prediction_time, feedback_time, feedback_id, batch_id, label"
"""What is read of them."""


def label_changes(
    rows: pa.Table, labels: Sequence[Mapping[str, Any]], known: Mapping[str, frozenset[str]], window_seconds: int
) -> tuple[LabelCounts, dict[Place, tuple[int, int]]]:
    """Join labels to the predictions that they are about.

    Args:
        rows: of ``predictions``: all of some span of time.
        labels: rows of ``feedback`` about that span, :data:`LABELS` with :data:`LABEL_COLUMNS`.
        known: attribute -> the values that have a segment of their own.
        window_seconds: length of the windows.

    Returns:
        the counts by micro-batch, and by place how ``labelled`` and ``correct`` change; both may be 0.
    """
    wanted = pa.array({row["event_id"] for row in labels}, pa.string())
    about = rows.filter(pc.is_in(rows["event_id"], wanted)).to_pylist(maps_as_pydicts="strict")
    by_key: dict[Key, Mapping[str, Any]] = {(row["event_id"], row["event_time"]): row for row in about}
    counts = count_labels({key: (row["batch_id"], row["output"]) for key, row in by_key.items()}, labels)
    length = window_seconds * 1_000_000
    changed: dict[Place, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for (batch_id, key), labelled in counts.labelled.items():
        row, when = by_key[key], micros(key[1]) or 0
        for segment in segments_of(row["segments"], known):
            place = batch_id, row["model"], row["version"], segment, when - when % length
            before = changed[place]
            changed[place] = before[0] + labelled, before[1] + counts.correct[batch_id, key]
    return counts, dict(changed)
