"""One column of a baseline, prepared once and compared with many chunks: distance, p-value and effect of each. Pure.

Each distance has a test: the divergences of one set of counts (PSI, Jensen-Shannon, Hellinger, chi-squared) share
Pearson's, to which all of them are equal in the limit and which keeps its law with few rows; total variation,
L-infinity, Kolmogorov-Smirnov and Wasserstein (both) have their own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, log, pi, sqrt

import numpy as np

from pegel.schemas.comparison import Metric
from pegel.streaming.statistics import distances
from pegel.streaming.statistics.cells import FloatArray, IntArray
from pegel.streaming.statistics.chunk_spread import excess_of_values, spread_of_counts
from pegel.streaming.statistics.decile_bins import count_in_bins, decile_edges, join_rare
from pegel.streaming.statistics.dispersion import MIN_GROUPS
from pegel.streaming.statistics.distance_laws import (
    Law,
    chi_squared_law,
    kolmogorov_smirnov_law,
    l_infinity_law,
    p_value,
    total_variation_law,
)
from pegel.streaming.statistics.samples import ReferenceSample, Sample, sample_of
from pegel.streaming.statistics.value_bounds import bounds_of, law_between

FEWEST_ROWS = 50
"""With fewer rows on either side nothing is judged. With 50, each of ten bins expects five (Cochran 1954)."""

COUNT_TESTS = {
    Metric.PSI: Metric.CHI2,
    Metric.JENSEN_SHANNON: Metric.CHI2,
    Metric.HELLINGER: Metric.CHI2,
    Metric.CHI2: Metric.CHI2,
    Metric.TOTAL_VARIATION: Metric.TOTAL_VARIATION,
    Metric.L_INFINITY: Metric.L_INFINITY,
}
VALUE_TESTS = {
    Metric.KS: Metric.KS,
    Metric.WASSERSTEIN: Metric.WASSERSTEIN,
    Metric.WASSERSTEIN_NORMALIZED: Metric.WASSERSTEIN,
}
TESTS: Mapping[Metric, Metric] = COUNT_TESTS | VALUE_TESTS
"""Which test decides about a metric; metrics with the same test have one p-value."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a metric says about one chunk of a column; see :class:`~pegel.schemas.comparison.ComparedNumber`."""

    metric: Metric
    value: float | None
    n: int
    p_value: float | None = None
    effect: float | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class _Tested:
    p_value: float
    effect: float | None


class CountedColumn:
    """A column whose rows are counted by value.

    Args:
        baseline: counts, shape ``(k,)``.
        blocks: counts of the baseline's own chunks in order, of about as many rows as the current ones have, shape
            ``(B, k)``; B may be 0.
        ordered: whether these are the bins of a number, in its order and cut by the baseline.
    """

    def __init__(self, baseline: IntArray, blocks: IntArray, *, ordered: bool = False) -> None:
        self._baseline, self._ordered = baseline, ordered
        self._spread = spread_of_counts(baseline, blocks, ordered=ordered)

    @property
    def calibrated(self) -> bool:
        """Whether the p-values know how much chunks of the baseline differ from each other."""
        return self._spread.calibrated

    def compare(self, current: IntArray, metrics: Iterable[Metric]) -> list[Measured]:
        """Compare a chunk's counts, shape ``(k,)``, with the baseline's, by those of the metrics that take counts."""
        n, m = int(current.sum()), int(self._baseline.sum())
        wanted = [metric for metric in metrics if metric in COUNT_TESTS]
        tested = self._test(current) if min(n, m) >= FEWEST_ROWS else {}
        return [self._measured(metric, current, n, tested.get(COUNT_TESTS[metric])) for metric in wanted]

    def _measured(self, metric: Metric, current: IntArray, n: int, tested: _Tested | None) -> Measured:
        value = _count_value(metric, current, self._baseline)
        if tested is None:
            return Measured(metric, value, n)
        return Measured(metric, value, n, tested.p_value, tested.effect, self.calibrated)

    def _test(self, chunk: IntArray) -> dict[Metric, _Tested]:
        current, baseline = join_rare(chunk, self._baseline, made_of_baseline=self._ordered)
        if current.size < 2:
            # One value, or none that is frequent: there is nothing that could have changed.
            return dict.fromkeys(set(COUNT_TESTS.values()), _Tested(1.0, 0.0))
        n, m = int(current.sum()), int(baseline.sum())
        v, shares = 1 / n + 1 / m, (current + baseline) / (n + m)
        change = np.abs(current / n - baseline / m)
        found = {}
        pearson = float(np.sum(change**2 / shares))
        jensen_shannon = distances.jensen_shannon_distance(current, baseline) or 0.0
        index = max(0.0, 8 * log(2) * jensen_shannon**2 - (current.size - 1) * v)
        found[Metric.CHI2] = self._tested(Metric.CHI2, pearson, v, chi_squared_law(current.size - 1), sqrt(index))
        law, squared = total_variation_law(shares), (float(np.sum(change)) / 2) ** 2
        effect = sqrt(2 * pi * max(0.0, squared - law.mean * v))
        found[Metric.TOTAL_VARIATION] = self._tested(Metric.TOTAL_VARIATION, squared, v, law, effect)
        largest = int(np.argmax(change))
        spare = change[largest] ** 2 / (shares[largest] * (1 - shares[largest])) - v
        law, squared = l_infinity_law(current, baseline), float(change[largest]) ** 2
        found[Metric.L_INFINITY] = self._tested(Metric.L_INFINITY, squared, v, law, sqrt(max(0.0, float(spare))))
        return found

    def _tested(self, test: Metric, squared: float, v: float, law: Law, effect: float) -> _Tested:
        return _Tested(p_value(squared, v, law, self._spread.excess.get(test)), effect)


class NumericColumn:
    """A column of numbers: counted in ten bins at the baseline's deciles, and compared value by value.

    Args:
        baseline: in the order of the rows, NaN where a value is missing, shape ``(m,)``.
        block_rows: how many rows the current chunks have; the baseline is cut into chunks of so many.
        metrics: those that will be asked for.
    """

    def __init__(self, baseline: FloatArray, block_rows: int, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)
        sample = sample_of(baseline)
        self._reference = ReferenceSample(sample)
        self._edges = decile_edges(sample)
        self._sd = _sd(sample.finite)
        by_value = any(metric in VALUE_TESTS for metric in self._metrics)
        blocks = _blocks(baseline, block_rows)
        samples = [sample_of(block) for block in blocks]
        counts = [count_in_bins(s, b.size - s.n, self._edges) for s, b in zip(samples, blocks, strict=True)]
        whole = count_in_bins(sample, baseline.size - sample.n, self._edges)
        table = np.array(counts, dtype=np.int64).reshape(len(blocks), whole.size)
        self._counted = CountedColumn(whole, table, ordered=True)
        self._excess = excess_of_values(self._reference, samples, self._sd or 1.0) if by_value else {}

    def compare(self, values: FloatArray) -> list[Measured]:
        """Compare a chunk's values, shape ``(n,)``, NaN where one is missing, with the baseline."""
        current = sample_of(values)
        counted = self._counted.compare(count_in_bins(current, values.size - current.n, self._edges), self._metrics)
        by_metric = {measured.metric: measured for measured in counted}
        if any(metric in VALUE_TESTS for metric in self._metrics):
            by_metric |= self._compare_values(current)
        return [by_metric[metric] for metric in self._metrics]

    def _compare_values(self, current: Sample) -> dict[Metric, Measured]:
        low, high = bounds_of(current, self._reference.sample)
        found = self._reference.distances(current, low, high)
        tests = self._value_tests(current, found.kolmogorov_smirnov, found.inner, (low, high))
        area = found.wasserstein
        normalized = area / self._sd if area is not None and self._sd else None
        numbers = {
            Metric.KS: (found.kolmogorov_smirnov, current.n),
            Metric.WASSERSTEIN: (area, current.finite.size),
            Metric.WASSERSTEIN_NORMALIZED: (normalized, current.finite.size),
        }
        by_metric = {}
        for metric, (value, n) in numbers.items():
            tested = tests.get(VALUE_TESTS[metric])
            by_metric[metric] = (
                Measured(metric, value, n)
                if tested is None
                else Measured(metric, value, n, tested.p_value, tested.effect, self._counted.calibrated)
            )
        return by_metric

    def _value_tests(
        self, current: Sample, gap: float | None, area: float | None, bounds: tuple[float, float]
    ) -> dict[Metric, _Tested]:
        found, base = {}, self._reference.sample
        if gap is not None and min(current.n, base.n) >= FEWEST_ROWS:
            v, law = 1 / current.n + 1 / base.n, kolmogorov_smirnov_law()
            effect = sqrt(2 * pi * max(0.0, gap**2 - law.mean * v))
            found[Metric.KS] = _Tested(p_value(gap**2, v, law, self._excess.get(Metric.KS)), effect)
        if area is not None and min(current.finite.size, base.finite.size) >= FEWEST_ROWS:
            # A baseline of one value has no spread to measure with; together with the other sample it has.
            sd = self._sd or _sd(np.concatenate([base.finite, current.finite]))
            v, law = 1 / current.finite.size + 1 / base.finite.size, law_between(current, base, *bounds, sd or 1.0)
            squared = (area / (sd or 1.0)) ** 2
            size = sqrt(max(0.0, squared - law.mean * v)) if sd else None
            p = p_value(squared, v, law, self._excess.get(Metric.WASSERSTEIN))
            found[Metric.WASSERSTEIN] = _Tested(p, size)
        return found


def _count_value(metric: Metric, current: IntArray, baseline: IntArray) -> float | None:
    if metric is Metric.CHI2:
        found = distances.chi_squared(current, baseline)
        return None if found is None else found.statistic
    formulas = {
        Metric.PSI: distances.population_stability_index,
        Metric.JENSEN_SHANNON: distances.jensen_shannon_distance,
        Metric.HELLINGER: distances.hellinger_distance,
        Metric.TOTAL_VARIATION: distances.total_variation,
        Metric.L_INFINITY: distances.l_infinity,
    }
    return formulas[metric](current, baseline)


def _sd(values: FloatArray) -> float | None:
    """The standard deviation of the sample; None if it is 0, not known or beyond what a float holds."""
    if values.size < 2 or not np.any(values != values[0]):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        sd = float(np.std(values, ddof=1))
    return sd if isfinite(sd) and sd > 0 else None


def _blocks(values: FloatArray, rows: int) -> list[FloatArray]:
    if rows < 1 or values.size // rows < MIN_GROUPS:
        return []
    return [values[first : first + rows] for first in range(0, values.size - rows + 1, rows)]
