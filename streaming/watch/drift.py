"""How far one column of a window is from its baseline, by every distance. Pure."""

from collections.abc import Iterator
from math import sqrt

import numpy as np

from pegel.schemas import grids, metric_names
from pegel.schemas.partials import Tally
from pegel.streaming.statistics.cells import IntArray, dense, values_of
from pegel.streaming.statistics.distances import (
    chi_squared,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    total_variation,
    wasserstein,
)
from pegel.streaming.statistics.null_tests import (
    divergence_effect,
    divergence_p_value,
    index_of_distance,
    kolmogorov_smirnov_effect,
    kolmogorov_smirnov_p_value,
)
from pegel.streaming.watch.number import Number
from pegel.streaming.watch.reference import ColumnBaseline


def drift_numbers(tally: Tally, baseline: ColumnBaseline) -> Iterator[Number]:
    """All distances of one column.

    Args:
        tally: the window's counts, on the baseline's grid.
        baseline: the column's.
    """
    if baseline.column.kind == grids.NUMERIC:
        counts = dense(tally.cells.get(baseline.column.name, {}))
        yield from _bin_numbers(baseline.bins.count_dense(counts), baseline)
        yield from _cell_numbers(values_of(counts), baseline)
    else:
        yield from _bin_numbers(baseline.bins.count(tally), baseline)


def _bin_numbers(current: IntArray, baseline: ColumnBaseline) -> Iterator[Number]:
    name, baseline_id, expected = baseline.column.name, baseline.baseline_id, baseline.bins.baseline
    n, m = int(current.sum()), baseline.n
    bins = int(np.count_nonzero(current + expected))
    psi = population_stability_index(current, expected)
    js = jensen_shannon_distance(current, expected)
    test = chi_squared(current, expected)
    for metric, value, index in (
        (metric_names.PSI, psi, psi),
        (metric_names.JENSEN_SHANNON, js, None if js is None else index_of_distance(js)),
    ):
        p_value = None if index is None else divergence_p_value(index, bins, n, m)
        effect = None if index is None else divergence_effect(index, bins, n, m)
        yield Number(metric, value, n, name, p_value=p_value, effect=effect, baseline_id=baseline_id)
    yield Number(
        metric_names.CHI_SQUARED,
        test.statistic if test else None,
        n,
        name,
        p_value=test.p_value if test else None,
        effect=sqrt(max(0.0, (test.statistic - test.df) * (1 / n + 1 / m))) if test else None,
        baseline_id=baseline_id,
    )
    yield Number(metric_names.TOTAL_VARIATION, total_variation(current, expected), n, name, baseline_id=baseline_id)


def _cell_numbers(current: IntArray, baseline: ColumnBaseline) -> Iterator[Number]:
    name, baseline_id = baseline.column.name, baseline.baseline_id
    n, m = int(current.sum()), int(baseline.values.sum())
    gap = kolmogorov_smirnov(current, baseline.values)
    yield Number(
        metric_names.KS,
        gap,
        n,
        name,
        p_value=None if gap is None else kolmogorov_smirnov_p_value(gap, n, m),
        effect=None if gap is None else kolmogorov_smirnov_effect(gap, n, m),
        baseline_id=baseline_id,
    )
    distance = wasserstein(current, baseline.values, baseline.positions)
    sd = baseline.moments.sd
    yield Number(
        metric_names.WASSERSTEIN,
        distance / sd if distance is not None and sd else None,
        n,
        name,
        baseline_id=baseline_id,
    )
