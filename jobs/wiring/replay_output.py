"""What replays found, as text or as JSON. Pure: names come from outside and are printed on one line."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pegel.alerts.message import plain
from pegel.alerts.replayed import ComparedValue
from pegel.jobs.wiring.replaying import Outcome, Replay

_WORDS = {
    Outcome.SAME: "the same, from rows of predictions alone",
    Outcome.ERASED: "rows were erased since; from stored partials it is the same",
    Outcome.PARTIALS: "rows are no longer kept; from stored partials it is the same",
    Outcome.OTHER_RULES: "not the same, as it was decided by other rules",
    Outcome.DIFFERENT: "NOT the same: something was changed or lost",
}
_NUMBERS = ("n", "value", "threshold", "effect", "p_value")
_LONGEST = 300


def as_text(replays: Sequence[Replay]) -> str:
    """A paragraph for each."""
    return "\n".join("".join(f"{line}\n" for line in _lines(replay)) for replay in replays)


def as_json(replays: Sequence[Replay]) -> str:
    r"""A list of objects, one a line.

    Example:
        >>> as_json([])
        '[]\n'
    """
    rows = [json.dumps(_plain(replay), allow_nan=False, ensure_ascii=False) for replay in replays]
    return "[" + ",\n ".join(rows) + "]\n"


def _lines(replay: Replay) -> list[str]:
    alert = replay.alert
    lines = [
        f"Alert {_short(alert['alert_id'])} ({_short(alert['state'])}) of incident {_short(alert['incident_id'])}: "
        f"{_WORDS[replay.outcome]}",
        f"  Rests on   micro-batches {alert['first_batch_id']} to {alert['last_batch_id']}, baseline "
        f"{_short(alert['baseline_id'] or 'none')}, policy {_short(alert['policy_hash'])}, Pegel "
        f"{_short(alert['code_version'])}",
        f"  Recounted  {replay.rows} rows; "
        + ", ".join(f"{law.name}: {law.checked - law.broken} of {law.checked} as they must be" for law in replay.laws),
        *(f"  Differs    {_short(str(difference))}" for law in replay.laws for difference in law.differences),
        *(f"  Note       {_short(note)}" for note in replay.notes),
        *_compared(replay.values, "Decided"),
    ]
    return lines + (_compared(replay.from_partials, "Partials") if replay.from_partials else [])


def _compared(values: Sequence[ComparedValue], word: str) -> list[str]:
    told = [value for value in values if not value.same or (value.name in _NUMBERS and value.stored is not None)]
    return [
        f"  {word:<9}  {value.name} = {_short(_number(value.stored))}"
        + ("" if value.same else f" in the table, and {_short(_number(value.replayed))} decided again")
        for value in told
    ]


def _plain(replay: Replay) -> dict[str, Any]:
    alert = replay.alert
    named = ("alert_id", "incident_id", "state", "batch_id", "first_batch_id", "last_batch_id", "baseline_id")
    return {
        **{name: alert[name] for name in (*named, "policy_hash", "code_version")},
        "outcome": replay.outcome.value,
        "rows": replay.rows,
        "notes": list(replay.notes),
        "laws": [
            {
                "name": law.name,
                "checked": law.checked,
                "broken": law.broken,
                "differences": [*map(str, law.differences)],
            }
            for law in replay.laws
        ],
        "values": [_value(value) for value in replay.values],
        "from_partials": [_value(value) for value in replay.from_partials],
    }


def _value(value: ComparedValue) -> Mapping[str, Any]:
    return {
        "name": value.name,
        "stored": _json(value.stored),
        "replayed": _json(value.replayed),
        "same": value.same,
    }


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items()}
    return [_json(one) for one in value] if isinstance(value, list) else value


def _number(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    return plain(text, _LONGEST)
