"""A row of ``alerts`` against the row that deciding it again gives. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-12
"""Two numbers that differ by no more than this share of the larger one are the same."""

_NOT_COMPARED = frozenset(
    {
        # Clocks, which a replay takes from the row.
        *("event_time", "enqueued_time", "stored_time", "decided_time"),
        # Said apart: whether they are those of today.
        *("policy_hash", "settings_hash", "code_version"),
        # Words for the other columns; another version may choose others.
        *("title", "message"),
    }
)


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """One column of the row.

    Attributes:
        name: of the column.
        stored: what stands in the table.
        replayed: what was decided again; None if nothing was.
        same: whether they are equal, numbers within :data:`TOLERANCE`.
    """

    name: str
    stored: Any
    replayed: Any
    same: bool


def compare_rows(stored: Mapping[str, Any], decided: Mapping[str, Any] | None) -> tuple[ComparedValue, ...]:
    """Compare all that a decision says.

    Args:
        stored: the row of the table.
        decided: the row of the same alert, decided again; None if no such alert was decided.

    Example:
        >>> stored = {"alert_id": "a", "value": 40.0, "n": 200, "decided_time": 1}
        >>> [v.same for v in compare_rows(stored, stored | {"value": 40.0 * (1 + 1e-14), "n": 201, "decided_time": 2})]
        [True, True, False]
        >>> [v.same for v in compare_rows(stored, None)]
        [False, False, False]
    """
    names = [name for name in (stored if decided is None else decided) if name not in _NOT_COMPARED]
    replayed = decided or {}
    return tuple(
        ComparedValue(name, stored.get(name), replayed.get(name), decided is not None and _same(
            stored.get(name), replayed.get(name)
        ))
        for name in names
    )  # fmt: skip


def _same(stored: Any, replayed: Any) -> bool:
    if isinstance(stored, float) and isinstance(replayed, float):
        return math.isclose(stored, replayed, rel_tol=TOLERANCE, abs_tol=0.0) or (
            math.isnan(stored) and math.isnan(replayed)
        )
    return bool(stored == replayed)
