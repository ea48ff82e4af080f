"""The numbers about a final window, as rows of ``metrics``. Pure.

Each number carries the events behind it and, where defined, its interval, its p-value under 'no drift' at this n and
the size of the shift. What is not defined is None; nothing is ever NaN or infinite.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pegel.schemas import grids, metric_names, partials
from pegel.schemas.grids import DEFAULT_GRID, GridColumn, default_grid
from pegel.schemas.partials import Tally
from pegel.streaming.statistics.answer_shares import unfinished
from pegel.streaming.statistics.cells import IntArray, Moments, dense, moments, quantile, values_of
from pegel.streaming.statistics.intervals import Interval, mean_interval, quantile_interval, wilson
from pegel.streaming.statistics.null_tests import mean_p_value, rate_p_value
from pegel.streaming.statistics.rate_test import cohen_h
from pegel.streaming.watch.drift import drift_numbers
from pegel.streaming.watch.estimates import estimate_numbers
from pegel.streaming.watch.number import Number
from pegel.streaming.watch.rates import says_how_it_ended
from pegel.streaming.watch.reference import ColumnBaseline, Comparison
from pegel.streaming.watch.windows import Revision, WindowSum

Row = dict[str, Any]

_LATENCY_SOURCE = "latency_ms"


def metric_rows(revision: Revision, batch_id: int, comparison: Comparison | None) -> list[Row]:
    """The rows of one window.

    Args:
        revision: the window; if only labels have changed, only the accuracy is told again.
        batch_id: the micro-batch in which this is written.
        comparison: the version's; None while it has no baseline: then nothing is compared.
    """
    window = revision.window
    numbers = list(_label_numbers(window, always=revision.labels_only))
    if not revision.labels_only and window.counts[partials.EVENTS] > 0:
        numbers = [*_event_numbers(window, comparison), *numbers, *_column_numbers(window, comparison)]
    return [number_row(number, window, batch_id) for number in numbers]


def _event_numbers(window: WindowSum, comparison: Comparison | None) -> Iterator[Number]:
    counts = window.counts
    n = counts[partials.EVENTS]
    yield Number(metric_names.EVENTS, float(n), n)
    yield _rate(metric_names.ERROR_RATE, counts[partials.ERRORS], n, comparison)
    for metric, counter in (
        (metric_names.INPUT_TOKENS, partials.INPUT_TOKENS),
        (metric_names.OUTPUT_TOKENS, partials.OUTPUT_TOKENS),
    ):
        if counts[counter]:
            yield Number(metric, float(counts[counter]), n)


def _rate(name: str, hits: int, n: int, comparison: Comparison | None) -> Number:
    found = Number(name, hits / n, n, interval=wilson(hits, n))
    test = comparison.rates.get(name) if comparison is not None else None
    if comparison is None or test is None:
        return found
    return replace(
        found,
        p_value=rate_p_value(hits, n, test.hits, test.n),
        effect=abs(cohen_h(hits / n, test.hits / test.n)),
        baseline_id=comparison.baseline_id,
    )


def _label_numbers(window: WindowSum, *, always: bool) -> Iterator[Number]:
    events, labelled = window.counts[partials.EVENTS], window.counts[partials.LABELLED]
    if labelled <= 0 and not always:
        return
    correct = window.counts[partials.CORRECT]
    yield Number(
        metric_names.ACCURACY,
        correct / labelled if labelled > 0 else None,
        max(0, labelled),
        interval=wilson(correct, labelled),
        label_completeness=min(1.0, max(0, labelled) / events) if events > 0 else None,
    )


def _column_numbers(window: WindowSum, comparison: Comparison | None) -> Iterator[Number]:
    for column, baseline, tally in _columns(window, comparison):
        if column.kind == grids.NUMERIC:
            cells: Mapping[int, int] = tally.cells.get(column.name, {})
            counts = dense(cells)
            if column.source == _LATENCY_SOURCE:
                yield from _latency_numbers(counts, column)
            yield from _moment_numbers(moments(tally, column), column, baseline)
            yield from _null_rate(cells.get(grids.MISSING, 0), int(counts.sum()), column, baseline)
        else:
            names: Mapping[str, int] = tally.categories.get(column.name, {})
            yield from _null_rate(names.get(grids.MISSING_NAME, 0), sum(names.values()), column, baseline)
            hits, n = unfinished(names) if says_how_it_ended(column) else (0, 0)
            if n > 0:
                yield _rate(metric_names.UNFINISHED_RATE, hits, n, comparison)
        if baseline is not None and column.drift:
            yield from drift_numbers(tally, baseline)
        if baseline is not None and comparison is not None and baseline is comparison.confidence:
            yield from estimate_numbers(values_of(dense(tally.cells.get(column.name, {}))), baseline, comparison)


def _columns(window: WindowSum, comparison: Comparison | None) -> list[tuple[GridColumn, ColumnBaseline | None, Tally]]:
    # Columns with the sum of the window on their grid: the baseline's if the window has counts on it.
    tallies = window.tallies or {}
    if comparison is not None and comparison.grid_id in tallies and tallies[comparison.grid_id].n > 0:
        tally = tallies[comparison.grid_id]
        return [(c.column, c, tally) for c in comparison.columns.values()]
    if DEFAULT_GRID in tallies and tallies[DEFAULT_GRID].n > 0:
        return [(column, None, tallies[DEFAULT_GRID]) for column in default_grid(window.key[0]).columns]
    return []


def _latency_numbers(counts: IntArray, column: GridColumn) -> Iterator[Number]:
    n = int(values_of(counts).sum())
    for metric, share in metric_names.LATENCY.items():
        yield Number(metric, quantile(counts, share, column), n, interval=quantile_interval(counts, share, column))


def _moment_numbers(found: Moments, column: GridColumn, baseline: ColumnBaseline | None) -> Iterator[Number]:
    p_value = effect = None
    compared = baseline if baseline is not None and baseline.moments.n > 0 else None
    if compared is not None:
        p_value = mean_p_value(found, compared.moments)
        effect = _standardised(found, compared.moments)
    yield Number(
        metric_names.MEAN,
        found.mean,
        found.n,
        column.name,
        interval=mean_interval(found),
        p_value=p_value,
        effect=effect,
        baseline_id=compared.baseline_id if compared else "",
    )
    yield Number(metric_names.SD, found.sd, found.n, column.name)


def _standardised(found: Moments, baseline: Moments) -> float | None:
    if found.mean is None or baseline.mean is None or not baseline.sd:
        return None
    return abs(found.mean - baseline.mean) / baseline.sd


def _null_rate(missing: int, n: int, column: GridColumn, baseline: ColumnBaseline | None) -> Iterator[Number]:
    compared = baseline if baseline is not None and baseline.n > 0 else None
    yield Number(
        metric_names.NULL_RATE,
        missing / n if n > 0 else None,
        n,
        column.name,
        interval=wilson(missing, n),
        p_value=rate_p_value(missing, n, compared.missing, compared.n) if compared else None,
        baseline_id=compared.baseline_id if compared else "",
    )


def number_row(number: Number, window: WindowSum, batch_id: int) -> Row:
    """The row of one number.

    Args:
        number: the number.
        window: what it is about.
        batch_id: the micro-batch in which this is written.
    """
    model, version, segment = window.key
    interval = number.interval or Interval(math.nan, math.nan)
    p_value = _finite(number.p_value)
    return {
        "model": model,
        "version": version,
        "segment": segment,
        "column": number.column,
        "metric": number.metric,
        "window_start": window.start,
        "window_s": window.window_s,
        "baseline_id": number.baseline_id,
        "revision": window.revision,
        "batch_id": batch_id,
        "value": _finite(number.value),
        "n": number.n,
        "lower": _finite(interval.lower),
        "upper": _finite(interval.upper),
        "p_value": p_value,
        "effect": _finite(number.effect),
        "label_completeness": number.label_completeness,
        # These p-values take events as independent; only the alarm rule keeps a budget.
        "calibrated": None if p_value is None else False,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
