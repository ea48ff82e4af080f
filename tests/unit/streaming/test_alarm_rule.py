"""The alarm rule keeps its budget without drift, rings soon with it, and says when it cannot keep a budget."""

import json
from collections import Counter
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.stats import chi2, norm

from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn
from pegel.schemas.partials import Tally
from pegel.streaming.statistics.alarm import LONGEST_LAG, ColumnTest, level
from pegel.streaming.statistics.cells import Bins, dense, make_bins
from pegel.streaming.statistics.counting import cells_of
from pegel.streaming.statistics.dispersion import LAGS, Dispersion, SpreadLearner, measure_dispersion
from pegel.streaming.statistics.share_test import share_test

CALM = Dispersion(blocks=2000, wander=(0.0,) * len(LAGS), known_by=(inf,) * len(LAGS), autocorrelated=False)
NUMBERS = GridColumn("x", NUMERIC, "features.x", center=0.0, scale=1.35)
NAMES = GridColumn("output", CATEGORICAL, "output")
_SHARES = np.array([0.35, 0.25, 0.2, 0.1, 0.07, 0.03])


def _number_test(rng: np.random.Generator, m: int, dispersion: Dispersion | None = CALM) -> ColumnTest:
    baseline = Tally(cells={"x": Counter(cells_of(rng.normal(size=m), 0.0, 1.35).tolist())})
    return ColumnTest(make_bins(NUMBERS, baseline), dispersion)


def _name_test(rng: np.random.Generator, m: int, dispersion: Dispersion | None = CALM) -> ColumnTest:
    counts = rng.multinomial(m, _SHARES)
    names = {f"name {i}": int(n) for i, n in enumerate(counts)}
    return ColumnTest(make_bins(NAMES, Tally(categories={"output": Counter(names)})), dispersion)


def _number_blocks(rng: np.random.Generator, bins: Bins, count: int, n: int, shift: float = 0.0) -> np.ndarray:
    values = cells_of(rng.normal(shift, 1.0, count * n), 0.0, 1.35).reshape(count, n)
    return np.array([bins.count_dense(dense(Counter(row.tolist()))) for row in values])


def _name_blocks(rng: np.random.Generator, bins: Bins, count: int, n: int, points: float = 0.0) -> np.ndarray:
    shares = _SHARES + points * np.array([1, -1, 0, 0, 0, 0])
    order = [bins.labels.index(f"name {i}") for i in range(shares.size)]
    blocks = np.zeros((count, bins.size), dtype=np.int64)
    blocks[:, order] = rng.multinomial(n, shares, count)
    return blocks


def _rings(test: ColumnTest, blocks: np.ndarray, alpha: float) -> list[int]:
    """The blocks that rang; a ring starts the lags again, as the watch does."""
    rings, start = [], 0
    for i in range(len(blocks)):
        verdict = test.judge(blocks[max(start, i + 1 - LONGEST_LAG) : i + 1], alpha)
        if verdict is not None and verdict.rang:
            rings.append(i)
            start = i + 1
    return rings


@pytest.mark.parametrize(("made", "blocks"), [(_number_test, _number_blocks), (_name_test, _name_blocks)])
def test_statistic_has_its_null_law_without_drift(made, blocks) -> None:
    # A new baseline for each few blocks, so that its own noise is part of the law.
    rng = np.random.default_rng(7)
    beyond = total = 0
    means = []
    for _ in range(60):
        test = made(rng, 3000)
        for block in blocks(rng, test.bins, 25, 500):
            pools = test.pool(block[None, :], 1e-6)
            assert pools is not None
            beyond += int(pools.statistic[0] > chi2.isf(0.05, pools.law.df[0]))
            means.append(pools.statistic[0] / pools.law.df[0])
            total += 1
    assert np.mean(means) == pytest.approx(1.0, abs=0.12)
    assert beyond / total == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize(("n", "shift", "blocks"), [(1000, 0.25, 2), (1000, 0.1, 12), (200, 0.25, 8)])
def test_rule_rings_soon_after_a_shift(n: int, shift: float, blocks: int) -> None:
    rng = np.random.default_rng(11)
    alpha = level(10_000, 7)
    delays = []
    for _ in range(12):
        test = _number_test(rng, 100_000)
        quiet = _number_blocks(rng, test.bins, 40, n)
        moved = _number_blocks(rng, test.bins, 2 * blocks, n, shift)
        rings = _rings(test, np.concatenate([quiet, moved]), alpha)
        assert not [i for i in rings if i < 40]
        delays.append(rings[0] - 39 if rings else 10**6)
    assert np.median(delays) <= blocks


def test_rule_rings_soon_after_five_points_of_a_category() -> None:
    rng = np.random.default_rng(12)
    test = _name_test(rng, 100_000)
    blocks = np.concatenate([_name_blocks(rng, test.bins, 30, 1000), _name_blocks(rng, test.bins, 12, 1000, 0.05)])
    rings = _rings(test, blocks, level(10_000, 7))
    assert rings
    assert 30 <= rings[0] < 40


@pytest.mark.parametrize("shift", [0.2, -0.2, 0.5])
def test_verdict_names_the_shift_and_its_size(shift: float) -> None:
    rng = np.random.default_rng(13)
    test = _number_test(rng, 100_000)
    verdict = test.judge(_number_blocks(rng, test.bins, 8, 2000, shift), level(10_000, 7))
    assert verdict is not None
    assert (verdict.column, verdict.rang, verdict.direction) == ("x", True, "location")
    assert verdict.effect == pytest.approx(abs(shift), rel=0.15)
    assert verdict.statistic > verdict.threshold
    assert verdict.p_value < level(10_000, 7)


def test_verdict_tells_missing_values_from_a_shift() -> None:
    rng = np.random.default_rng(14)
    test = _number_test(rng, 20_000)
    blocks = _number_blocks(rng, test.bins, 1, 500)
    blocks[0, test.bins.labels.index("missing")] = 60
    verdict = test.judge(blocks, level(10_000, 7))
    assert verdict is not None
    assert (verdict.rang, verdict.direction) == (True, "missing")


def test_rule_without_a_record_of_blocks_is_uncalibrated() -> None:
    rng = np.random.default_rng(15)
    young = _number_test(rng, 20_000, None)
    assert not young.calibrated
    verdict = young.judge(_number_blocks(rng, young.bins, 4, 1000, 0.6), level(10_000, 7))
    assert verdict is not None
    assert (verdict.rang, verdict.calibrated) == (True, False)
    # It lets pass what a calibrated one finds: a shift of at most 0.05 standard deviations, 0.02 in total variation.
    small = _number_blocks(rng, young.bins, 40, 2000, 0.045)
    assert not _rings(young, small, level(10_000, 7))
    names = _name_test(rng, 20_000, None)
    assert not _rings(names, _name_blocks(rng, names.bins, 40, 2000, 0.019), level(10_000, 7))
    assert _rings(names, _name_blocks(rng, names.bins, 40, 2000, 0.06), level(10_000, 7))


@pytest.mark.parametrize(
    ("blocks", "autocorrelated", "calibrated"),
    [(99, False, False), (100, False, True), (100, True, False), (999, True, False), (1000, True, True)],
)
def test_budget_is_promised_only_on_enough_blocks(blocks: int, autocorrelated: bool, calibrated: bool) -> None:
    assert replace(CALM, blocks=blocks, autocorrelated=autocorrelated).calibrated == calibrated


def test_few_events_are_not_judged() -> None:
    rng = np.random.default_rng(16)
    test = _number_test(rng, 20_000)
    assert test.judge(_number_blocks(rng, test.bins, 1, 49, 3.0), 1e-6) is None
    # Two such blocks together are enough for what is missing, not yet for 20 bins of numbers; four are.
    verdict = test.judge(_number_blocks(rng, test.bins, 4, 49, 3.0), 1e-6)
    assert verdict is not None
    assert (verdict.rang, verdict.lag) == (True, 4)
    assert _number_test(rng, 49).judge(_number_blocks(rng, test.bins, 1, 500), 1e-6) is None


def test_dispersion_of_independent_blocks_is_none_and_of_wandering_ones_is_found() -> None:
    rng = np.random.default_rng(17)
    bins = _number_test(rng, 50_000).bins
    calm = measure_dispersion(bins, _number_blocks(rng, bins, 1280, 200))
    assert len(calm.wander) == len(LAGS)
    # Chance alone makes a variance of 4 / 200 between blocks, all four directions together.
    assert max(calm.wander) < 0.1 * 4 / 200
    assert not calm.autocorrelated
    means = np.repeat(rng.normal(0, 0.3, 128), 10)
    wandering = np.concatenate([_number_blocks(rng, bins, 1, 200, shift) for shift in means])
    found = measure_dispersion(bins, wandering)
    assert found.autocorrelated
    assert np.sqrt(found.wander[0]) == pytest.approx(0.3, rel=0.35)
    # Ten blocks share a mean, so the means of long groups wander less, and 128 of them are known, not 1280.
    assert found.wander[5] == pytest.approx(found.wander[0] * 10 / 32, rel=0.6)
    assert 30 <= found.known_by[0] <= 160
    # So the same blocks do not ring, while the bound for calm ones would.
    alpha = level(10_000, 7)
    assert not _rings(ColumnTest(bins, found), wandering[:200], alpha)
    assert _rings(ColumnTest(bins, calm), wandering[:200], alpha)


def test_share_test_with_slack_is_the_smallest_distance_to_what_it_allows() -> None:
    # By brute force over shifts of total variation 0.05 between three categories.
    sample, baseline, slack = np.array([[60, 30, 10]]), np.array([400, 400, 200]), 0.05
    n, m = 100, 1000
    shift = sample[0] / n - baseline / m
    variance = (sample[0] + baseline) / (n + m) * (1 / n + 1 / m)
    grid = np.linspace(-slack * 2, slack * 2, 161)
    s1, s2, s3 = np.meshgrid(grid, grid, grid, indexing="ij")
    allowed = np.abs(s1) + np.abs(s2) + np.abs(s3) <= 2 * slack + 1e-12
    distance = sum((d - s) ** 2 / v for d, s, v in zip(shift, (s1, s2, s3), variance, strict=True))
    assert share_test(sample, baseline, slack).statistic[0] == pytest.approx(distance[allowed].min(), rel=0.02)


def test_rare_category_is_tested_exactly() -> None:
    # One in 10,000 in the baseline, 3 of 100 now: the binomial chance of so many, two-sided, as a chi-squared value.
    test = share_test(np.array([[97, 3]]), np.array([9999, 1]))
    part = 100 / 10_100
    at_least_three = 4 * part**3 * (1 - part) + part**4
    assert test.df.tolist() == [1]
    assert test.statistic[0] == pytest.approx(norm.isf(at_least_three) ** 2, rel=1e-9)


def test_dispersion_learned_block_by_block_or_at_once_or_over_a_restart_is_the_same() -> None:
    rng = np.random.default_rng(18)
    bins = _name_test(rng, 20_000).bins
    sizes = rng.integers(0, 300, 203)
    blocks = np.concatenate([_name_blocks(rng, bins, 1, int(n), 0.02 * np.sin(i / 9)) for i, n in enumerate(sizes)])
    one_by_one = SpreadLearner(bins)
    for i, block in enumerate(blocks):
        one_by_one.add(block)
        if i % 50 == 17:
            restarted = SpreadLearner(bins)
            restarted.restore(json.loads(json.dumps(one_by_one.state())))
            one_by_one = restarted
    found, at_once = one_by_one.dispersion(), measure_dispersion(bins, blocks)
    assert found.wander == pytest.approx(at_once.wander, rel=1e-9)
    assert replace(found, wander=()) == replace(at_once, wander=())
    assert found.blocks == np.count_nonzero(sizes)
