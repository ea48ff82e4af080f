"""How much chunks of the baseline differ from the whole, beyond chance: the excess that a p-value must know. Pure.

Real data wander, so that chunks differ more than independent rows would. The baseline is cut into chunks as large as
the current ones; each is compared with the whole by every test, and the mean squared distance less what chance makes is
the excess. A chunk is a part of the whole, so chance makes ``1/n - 1/m`` in place of ``1/n + 1/m``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from pegel.schemas.comparison import Metric
from pegel.streaming.statistics.cells import FloatArray, IntArray
from pegel.streaming.statistics.decile_bins import split_rare
from pegel.streaming.statistics.dispersion import ENOUGH_BLOCKS, FEWEST_BLOCKS, MIN_GROUPS
from pegel.streaming.statistics.distance_laws import (
    Excess,
    chi_squared_law,
    kolmogorov_smirnov_law,
    l_infinity_law,
    total_variation_law,
)
from pegel.streaming.statistics.samples import ReferenceSample, Sample
from pegel.streaming.statistics.value_bounds import bounds_of, law_between

_VISIBLE = 0.01
"""At this level neighbouring chunks are taken to be alike: few baselines without it are called so."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread between a baseline's chunks.

    Attributes:
        excess: by test, where the baseline has at least :data:`~.dispersion.MIN_GROUPS` chunks.
        calibrated: whether p-values that know it keep their level.
    """

    excess: Mapping[Metric, Excess] = field(default_factory=dict)
    calibrated: bool = False


def spread_of_counts(baseline: IntArray, blocks: IntArray, *, ordered: bool = False) -> Spread:
    """The spread of counts.

    Args:
        baseline: counts of all rows, shape ``(k,)``.
        blocks: counts of chunks in order of the rows, shape ``(B, k)``.
        ordered: whether the bins follow each other: then a shift shows best in the sums up to each bin.

    Example:
        Chunks of 100 that swing between 25 and 75: each is a quarter off, where chance makes ``sqrt(1/4 (1/n - 1/m))``.

        >>> swing = np.array([[75, 25], [25, 75]] * 20)
        >>> found = spread_of_counts(swing.sum(axis=0), swing)
        >>> round(found.excess[Metric.CHI2].squared, 6), found.calibrated
        (0.24025, False)
    """
    n, m = blocks.sum(axis=1), int(baseline.sum())
    blocks = blocks[n > 0]
    if len(blocks) < MIN_GROUPS:
        return Spread()
    n = n[n > 0]
    typical = np.rint(baseline * (float(np.mean(n)) / m)).astype(np.int64)
    own, rest = split_rare(typical, baseline)
    parts = [own] if not rest.size else [own, rest]
    joined = np.column_stack([blocks[:, own], *(blocks[:, part].sum(axis=1) for part in parts[1:])])
    whole = np.concatenate([baseline[own], *([baseline[part].sum()] for part in parts[1:])])
    if whole.size < 2:
        return Spread({}, _enough(np.zeros((len(blocks), 0))))
    change, shares = joined / n[:, None] - whole / m, whole / m
    chance = float(np.mean(1 / n - 1 / m))
    squared = {
        Metric.CHI2: np.sum(change**2 / shares, axis=1),
        Metric.TOTAL_VARIATION: (np.sum(np.abs(change), axis=1) / 2) ** 2,
        Metric.L_INFINITY: np.max(np.abs(change), axis=1) ** 2,
    }
    laws = {
        Metric.CHI2: chi_squared_law(whole.size - 1),
        Metric.TOTAL_VARIATION: total_variation_law(shares),
        Metric.L_INFINITY: l_infinity_law(whole, whole),
    }
    excess = {test: _beyond(squared[test], laws[test].mean * chance) for test in laws}
    return Spread(excess, _enough(np.cumsum(change, axis=1)[:, :-1] if ordered else change))


def excess_of_values(reference: ReferenceSample, blocks: Sequence[Sample], unit: float) -> dict[Metric, Excess]:
    """The excess of raw values, by test: Kolmogorov-Smirnov and Wasserstein.

    Args:
        reference: all values of the baseline.
        blocks: its chunks in order; those without a finite value are left out.
        unit: in which the Wasserstein distance is measured, above 0.
    """
    used = [block for block in blocks if block.finite.size]
    if len(used) < MIN_GROUPS:
        return {}
    base = reference.sample
    typical = used[int(np.argsort([block.finite.size for block in used])[len(used) // 2])]
    low, high = bounds_of(typical, base)
    found = [reference.distances(block, low, high) for block in used]
    gaps = np.array([one.kolmogorov_smirnov for one in found], dtype=float)
    areas = np.array([np.nan if one.inner is None else one.inner / unit for one in found])
    chance = float(np.mean([1 / block.n - 1 / base.n for block in used]))
    excess = {Metric.KS: _beyond(gaps**2, kolmogorov_smirnov_law().mean * chance)}
    if np.all(np.isfinite(areas)):
        excess[Metric.WASSERSTEIN] = _beyond(areas**2, law_between(base, base, low, high, unit).mean * chance)
    return excess


def _beyond(squared: FloatArray, by_chance: float) -> Excess:
    return Excess(max(0.0, float(np.mean(squared)) - by_chance), len(squared))


def _enough(changes: FloatArray) -> bool:
    # Changes of shares of each chunk, shape (B, k): are there enough, and is each free of the one before?
    blocks = len(changes)
    if blocks < FEWEST_BLOCKS:
        return False
    squares = np.sum(changes**2, axis=0)
    moving = squares > 0
    if blocks >= ENOUGH_BLOCKS or not moving.any():
        return True
    alike = np.sum(changes[1:] * changes[:-1], axis=0)[moving] / squares[moving]
    limit = -float(ndtri(_VISIBLE / moving.sum())) / np.sqrt(blocks)
    return bool(np.max(alike) <= limit)
