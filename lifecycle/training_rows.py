"""Exactly named training rows: predictions with their labels, up to a micro-batch, with a count and a checksum. Edge.

Both tables are append-only, so ``batch_id <= X`` names the same rows for ever, longer than time travel does. Dead
letters are in neither table and never train. Reading needs no JVM.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from pegel.errors import ReplayError
from pegel.tables.delta import DeltaTables, Row

_PREDICTIONS = (
    "SELECT event_id, event_time, model, version, input, output, error_type, segments FROM t WHERE batch_id <= {batch}"
)
_FEEDBACK = (
    "SELECT event_id, prediction_time, label, feedback_time, feedback_id FROM t "
    "WHERE kind = 'label' AND label IS NOT NULL AND batch_id <= {batch}"
)
NO_BATCH = -1


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A prediction whose true class is known. ``event_time`` is aware UTC; ``segments``: attribute -> value."""

    event_id: str
    event_time: datetime
    version: str
    text: str
    output: str | None
    label: str
    segments: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class NamedRows:
    """All labelled rows of a model up to a micro-batch, ordered by event time, then id.

    Example:
        >>> NamedRows("m", 7, ()).checksum == hashlib.sha256().hexdigest()
        True
    """

    model: str
    batch_id_max: int
    rows: tuple[LabelledRow, ...]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the ids and labels, sorted by id: the name of these rows, whatever order they are read in.

        A prediction never changes, so its id names its text and segments too.
        """
        digest = hashlib.sha256()
        for pair in sorted((row.event_id, row.label) for row in self.rows):
            digest.update(json.dumps(pair).encode() + b"\n")
        return digest.hexdigest()


def highest_batch(tables: DeltaTables) -> int:
    """The highest micro-batch whose commit mark is there; :data:`NO_BATCH` if none is."""
    highest = tables.read("batches", "SELECT max(batch_id) AS highest FROM t")
    return highest[0]["highest"] if highest and highest[0]["highest"] is not None else NO_BATCH


def read_named_rows(tables: DeltaTables, model: str, batch_id_max: int) -> NamedRows:
    """Join predictions with their newest label, both from micro-batches up to ``batch_id_max``.

    A label finds its prediction by event id and event time. Of several labels the one given last counts, as it does in
    ``profiles``. Predictions that failed or have no text are left out.

    Args:
        tables: where ``predictions`` and ``feedback`` lie.
        model: name of the registered model.
        batch_id_max: the last micro-batch, inclusive.
    """
    labels = _newest_labels(tables.read("feedback", _FEEDBACK.format(batch=int(batch_id_max))))
    rows = []
    for row in tables.read("predictions", _PREDICTIONS.format(batch=int(batch_id_max))):
        label = labels.get((row["event_id"], row["event_time"]))
        if row["model"] == model and label is not None and row["input"] is not None and row["error_type"] is None:
            rows.append(
                LabelledRow(
                    row["event_id"], row["event_time"], row["version"], row["input"], row["output"], label,
                    {name: value for name, value in (row["segments"] or {}).items() if value is not None},
                )
            )  # fmt: skip
    rows.sort(key=lambda row: (row.event_time, row.event_id))
    return NamedRows(model, batch_id_max, tuple(rows))


def read_again(tables: DeltaTables, model: str, *, batch_id_max: int, rows: int, checksum: str) -> NamedRows:
    """Read rows that were named before, and see that they are the same.

    Raises:
        ReplayError: if their number or checksum is another one now.
    """
    found = read_named_rows(tables, model, batch_id_max)
    if (len(found.rows), found.checksum) != (rows, checksum):
        msg = (
            f"the labelled rows of {model!r} up to batch {batch_id_max} have changed: {rows} with checksum "
            f"{checksum[:12]} were named, {len(found.rows)} with {found.checksum[:12]} are there; rows that were "
            "erased since cannot be trained on again, so start a new attempt"
        )
        raise ReplayError(msg)
    return found


def _newest_labels(feedback: list[Row]) -> dict[tuple[str, datetime], str]:
    feedback.sort(key=lambda row: (row["feedback_time"], row["feedback_id"]))
    return {(row["event_id"], row["prediction_time"]): row["label"] for row in feedback}
