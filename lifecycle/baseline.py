"""A model version's grid and baseline: what the stream compares its live traffic with. Edge: appends two tables.

Both are immutable and named by their content. Writing one again is a no-op, so a restarted registration may repeat it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pegel.errors import ContractError
from pegel.lifecycle.loaded_model import LoadedModel
from pegel.schemas import grids
from pegel.schemas.grids import Grid, GridColumn, grid_from_row
from pegel.schemas.model_io import Answer
from pegel.schemas.partials import ANSWERED, CORRECT, CORRECT_CELLS, ERRORS, LABELLED, Tally, tally_to_row
from pegel.streaming.statistics.counting import count, learn_grid
from pegel.tables.delta import DeltaTables

MAX_OUTSIDE_SHARE = 0.01
"""A grid is learned anew once this share of a column's values lies off it. Convention, not derived."""
LATENCY_SAMPLES = 100

Values = dict[str, list[Any]]

_FEATURE = "features."


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline and the grid that it is counted on."""

    baseline_id: str
    version: str
    grid: Grid
    tally: Tally


def watched_values(
    columns: Sequence[GridColumn], texts: Sequence[str], answers: Sequence[Answer], latencies_ms: Sequence[float]
) -> Values:
    """What the stream would count of these answers, by the columns' names.

    Args:
        columns: the watched columns; each says its source.
        texts: what was asked.
        answers: what the model said, one a text.
        latencies_ms: of the first texts; for the others the latency is missing.

    Raises:
        ContractError: if a column's source is none that a text and its answer have.
    """
    given: Values = {
        "input_length": [len(text) for text in texts],
        "input_words": [len(text.split()) for text in texts],
        # An answer that failed is missing, as it is in the stream.
        "output": [None if answer.failure else answer.output for answer in answers],
        "confidence": [answer.confidence for answer in answers],
        "latency_ms": [*latencies_ms[: len(texts)], *[None] * (len(texts) - len(latencies_ms))],
    }
    values: Values = {}
    for column in columns:
        if column.source.startswith(_FEATURE):
            feature = column.source.removeprefix(_FEATURE)
            values[column.name] = [answer.features.get(feature) for answer in answers]
        elif column.source in given:
            values[column.name] = given[column.source]
        else:
            msg = f"the column {column.name!r} has the source {column.source!r}, which no text and answer have"
            raise ContractError(msg)
    return values


def measure_latencies_ms(
    model: LoadedModel, texts: Sequence[str], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Ask the first :data:`LATENCY_SAMPLES` texts one by one, as requests come, and say how long each answer took."""
    latencies = []
    for text in texts[:LATENCY_SAMPLES]:
        begin = clock()
        model.answer([text])
        latencies.append((clock() - begin) * 1000.0)
    return latencies


def choose_grid(known: Sequence[Grid], model: str, columns: Sequence[GridColumn], values: Values) -> Grid:
    """Reuse the model's newest grid if it still fits, else learn one.

    It fits if it has the same columns and less than :data:`MAX_OUTSIDE_SHARE` of each column's values lie off it.
    Partials on one grid add up across versions, so a chart does not break at a promotion.

    Args:
        known: the model's grids, oldest first.
        model: name of the registered model.
        columns: what must be watched.
        values: the baseline's values.
    """
    newest = known[-1] if known else None
    if newest is not None and _shape(newest.columns) == _shape(columns):
        tally = count(values, newest)
        if all(outside_share(tally, column) < MAX_OUTSIDE_SHARE for column in newest.columns if column.drift):
            return newest
    return learn_grid(model, columns, values)


def outside_share(tally: Tally, column: GridColumn) -> float:
    """The share of a column's present values that its cells or names do not tell apart, 0 to 1; 0 if there are none.

    Example:
        >>> from collections import Counter
        >>> tally = Tally(categories={"output": Counter({"a": 3, grids.OTHER_NAME: 1, grids.MISSING_NAME: 4})})
        >>> outside_share(tally, GridColumn("output", grids.CATEGORICAL, "output"))
        0.25
    """
    if column.kind == grids.CATEGORICAL:
        names = tally.categories[column.name]
        outside, missing, total = names[grids.OTHER_NAME], names[grids.MISSING_NAME], names.total()
    else:
        cells = tally.cells[column.name]
        outside = cells[grids.BELOW] + cells[grids.ABOVE] + cells[grids.NON_FINITE]
        missing, total = cells[grids.MISSING], cells.total()
    return outside / (total - missing) if total > missing else 0.0


def make_baseline(
    model: str,
    version: str,
    grid: Grid,
    values: Values,
    right: Sequence[bool] | None = None,
    *,
    failed: Sequence[bool] | None = None,
) -> Baseline:
    """Count a baseline; its id is a hash of the content.

    Args:
        model: name of the registered model.
        version: of the model.
        grid: where the cells lie.
        values: by the columns' names, one a row.
        right: whether the answer was right, one a row: then the stream judges the accuracy of labelled windows, and
            the baseline also says how often answers with a confidence are right, from which the stream estimates it
            without labels.
        failed: whether there was an error instead of an answer, one a row: then the stream judges the error rate.
    """
    tally = count(values, grid)
    confidence = next((column for column in grid.columns if column.source == "confidence"), None)
    if right is not None and confidence is not None:
        of_right = [value for value, hit in zip(values[confidence.name], right, strict=True) if hit]
        tally.cells[CORRECT_CELLS] = count({confidence.name: of_right}, grid).cells[confidence.name]
    if right is not None:
        tally.counts.update({LABELLED: len(right), CORRECT: sum(right)})
    if failed is not None:
        tally.counts.update({ERRORS: sum(failed), ANSWERED: len(failed) - sum(failed)})
    content = json.dumps([model, version, grid.grid, tally_to_row(tally)], sort_keys=True)
    return Baseline(hashlib.sha256(content.encode()).hexdigest()[:16], version, grid, tally)


def store(tables: DeltaTables, baseline: Baseline, *, source: str, now: datetime) -> None:
    """Append the grid, then the baseline; what is there already is left alone."""
    grid = baseline.grid
    tables.append(
        "grids",
        [{"grid": grid.grid, "model": grid.model, "created_at": now, "columns": [asdict(c) for c in grid.columns]}],
        transaction=(f"registration/grid/{grid.grid}", 1),
    )
    row = {
        "baseline_id": baseline.baseline_id,
        "model": grid.model,
        "version": baseline.version,
        "grid": grid.grid,
        "created_at": now,
        "source": source,
        **tally_to_row(baseline.tally),
    }
    tables.append("baselines", [row], transaction=(f"registration/baseline/{baseline.baseline_id}", 1))


def stored_baseline(tables: DeltaTables, model: str, version: str) -> tuple[str, str] | None:
    """The (baseline id, grid id) of a version, or None."""
    rows = tables.read("baselines", "SELECT baseline_id, model, version, grid FROM t")
    found = [(r["baseline_id"], r["grid"]) for r in rows if (r["model"], r["version"]) == (model, version)]
    return found[0] if found else None


def known_grids(tables: DeltaTables, model: str) -> list[Grid]:
    """The grids of a model, oldest first."""
    rows = [row for row in tables.read("grids") if row["model"] == model]
    rows.sort(key=lambda row: (row["created_at"], row["grid"]))
    return [grid_from_row(row) for row in rows]


def _shape(columns: Sequence[GridColumn]) -> list[GridColumn]:
    return [replace(column, center=0.0, scale=1.0, categories=()) for column in columns]
