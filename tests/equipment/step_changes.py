"""Traffic of many models, each of which changes once by a plain large step, for benchmarks. Pure.

:data:`AT_A_TIME` models share :data:`PER_SECOND` events a second. Each lives for :data:`LIFE_SECONDS`, the next one
follows in its place, and lives begin one after the other, so that changes come evenly. Which model an event is of, and
whether it has changed by then, follows from its number alone. Before the first life there is as much traffic of models
that never change, and so there is after the last one has begun.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from equipment.kilobyte_events import predictions

from pegel.lifecycle.baseline import Baseline, Values, make_baseline
from pegel.schemas.grids import CATEGORICAL, NUMERIC, Grid, GridColumn, make_grid
from pegel.streaming.statistics.counting import learn_grid

PER_SECOND = 1_000
AT_A_TIME = 10
WARM_UP_SECONDS = 60.0
LIFE_SECONDS = 45.0
APART_SECONDS = LIFE_SECONDS / AT_A_TIME
QUIET_SECONDS = (24.0, 30.0)
"""A model changes so long after it began: blocks come every few seconds, and changes at any time between two."""

VERSION = "1"
COLUMNS = (
    GridColumn("amount", NUMERIC, "features.amount"),
    GridColumn("channel", CATEGORICAL, "features.channel"),
    GridColumn("latency_ms", NUMERIC, "latency_ms"),
)
_TEMPLATES = 2_000
_BASELINE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class StepChange:
    """A planted change.

    Attributes:
        model: whose.
        column: what changes.
        after: seconds after the first event.
    """

    model: str
    column: str
    after: float


class StepChanges:
    """The traffic.

    Args:
        seed: decides the texts, the values and when within its life a model changes.
        count: how many models change.
        start: a time for what the events are made of.
    """

    def __init__(self, seed: int, count: int, start: datetime) -> None:
        self._rng = random.Random(seed)
        self._templates: list[dict[str, Any]] = [json.loads(e.body) for e in predictions(seed, start, _TEMPLATES)]
        self.planted = tuple(self._plant(i) for i in range(count))
        self.seconds = WARM_UP_SECONDS + (count - 1) * APART_SECONDS + LIFE_SECONDS
        self.events = int(self.seconds * PER_SECOND)

    def baselines(self) -> Iterator[Baseline]:
        """Of every model that has traffic: the same content, which is that before any change."""
        documents = [self._document(False, "") for _ in range(_BASELINE_ROWS)]
        values: Values = {
            "amount": [one["features"]["amount"] for one in documents],
            "channel": [one["features"]["channel"] for one in documents],
            "latency_ms": [one["latency_ms"] for one in documents],
        }
        columns = learn_grid("", COLUMNS, values).columns
        models = [_model(i) for i in range(-AT_A_TIME, len(self.planted) + AT_A_TIME)]
        for grid in (make_grid(model, columns) for model in models):
            yield _baseline(grid, values)

    def body(self, number: int, now: datetime) -> bytes:
        """The event of that number, which is sent now."""
        index = _index(number)
        has_changed, column = False, ""
        if 0 <= index < len(self.planted):
            change = self.planted[index]
            has_changed, column = number / PER_SECOND >= change.after, change.column
        document = self._document(has_changed, column)
        document["event_id"] = f"{self._rng.getrandbits(128):032x}"
        document["event_time"] = now.isoformat()
        document["model_name"], document["model_version"] = _model(index), VERSION
        return json.dumps(document).encode()

    def _plant(self, index: int) -> StepChange:
        after = WARM_UP_SECONDS + index * APART_SECONDS + self._rng.uniform(*QUIET_SECONDS)
        return StepChange(_model(index), COLUMNS[index % len(COLUMNS)].name, after)

    def _document(self, has_changed: bool, column: str) -> dict[str, Any]:
        rng = self._rng
        amount, channel, latency = rng.gauss(100, 30), rng.choice(("web", "app")), rng.lognormvariate(5, 1)
        if has_changed and column == "amount":
            amount += 60
        if has_changed and column == "channel":
            channel = "app"
        if has_changed and column == "latency_ms":
            latency *= 8
        features = {"amount": round(amount, 2), "channel": channel}
        return {**rng.choice(self._templates), "features": features, "latency_ms": round(latency, 3)}


def _baseline(grid: Grid, values: Values) -> Baseline:
    return make_baseline(grid.model, VERSION, grid, values)


def _index(number: int) -> int:
    """Which model the event of that number is of: from 0, below 0 for those of the warm-up."""
    place = number % AT_A_TIME
    lived = number / PER_SECOND - WARM_UP_SECONDS - place * APART_SECONDS
    return int(lived // LIFE_SECONDS) * AT_A_TIME + place if lived >= 0 else place - AT_A_TIME


def _model(index: int) -> str:
    return f"model-{index:03d}" if index >= 0 else f"warm-up-{index + AT_A_TIME}"
