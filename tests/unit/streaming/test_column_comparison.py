"""A column's distances equal scipy's on the same data, and no data are too odd: what is not defined is null."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import chebyshev, euclidean, jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from pegel.schemas.comparison import Metric
from pegel.streaming.statistics.column_comparison import CountedColumn, Measured, NumericColumn
from pegel.streaming.statistics.dispersion import FEWEST_BLOCKS

ALL = tuple(Metric)
NAN, INF = np.nan, np.inf


def _numbers(baseline, current, block: int = 0) -> dict[Metric, Measured]:
    column = NumericColumn(np.asarray(baseline, dtype=float), block, ALL)
    return {one.metric: one for one in column.compare(np.asarray(current, dtype=float))}


def _values(baseline, current) -> dict[Metric, Measured]:
    baseline, current = np.asarray(baseline), np.asarray(current)
    column = CountedColumn(baseline, np.zeros((0, baseline.size), dtype=np.int64))
    return {one.metric: one for one in column.compare(current, ALL)}


def _is_sound(found: dict[Metric, Measured]) -> None:
    for one in found.values():
        assert one.value is None or (math.isfinite(one.value) and one.value >= 0)
        assert one.p_value is None or 0 <= one.p_value <= 1
        assert one.effect is None or (math.isfinite(one.effect) and one.effect >= 0)


@pytest.mark.parametrize("seed", range(4))
def test_numbers_equal_scipy_on_bins_at_the_deciles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    baseline, current = rng.gamma(2, 1, 5000), rng.gamma(2.2, 1, 1200)
    edges = np.concatenate([[-INF], np.quantile(baseline, np.arange(1, 10) / 10), [INF]])
    before, now = np.histogram(baseline, edges)[0], np.histogram(current, edges)[0]
    p, q = now / now.sum(), before / before.sum()
    found = _numbers(baseline, current)
    expected = {
        Metric.PSI: float(np.sum((p - q) * np.log(p / q))),
        Metric.JENSEN_SHANNON: jensenshannon(p, q, base=2),
        Metric.HELLINGER: euclidean(np.sqrt(p), np.sqrt(q)) / math.sqrt(2),
        Metric.TOTAL_VARIATION: float(np.abs(p - q).sum() / 2),
        Metric.L_INFINITY: chebyshev(p, q),
        Metric.KS: ks_2samp(current, baseline, method="asymp").statistic,
        Metric.WASSERSTEIN: wasserstein_distance(current, baseline),
        Metric.WASSERSTEIN_NORMALIZED: wasserstein_distance(current, baseline) / np.std(baseline, ddof=1),
        Metric.CHI2: chi2_contingency([now, before], correction=False).statistic,
    }
    assert {metric: one.value for metric, one in found.items()} == pytest.approx(expected, rel=1e-9)
    assert found[Metric.KS].p_value == pytest.approx(ks_2samp(current, baseline, method="asymp").pvalue, rel=0.1)
    assert found[Metric.CHI2].p_value == pytest.approx(chi2_contingency([now, before], correction=False).pvalue)
    assert all(one.n == 1200 for one in found.values())


def test_the_effect_of_a_shifted_normal_column_is_its_shift() -> None:
    rng = np.random.default_rng(9)
    found = _numbers(rng.normal(size=100_000), rng.normal(0.3, 1, 50_000))
    assert found[Metric.WASSERSTEIN].effect == pytest.approx(0.3, abs=0.03)
    assert found[Metric.KS].effect == pytest.approx(0.3, abs=0.03)
    for metric in (Metric.PSI, Metric.CHI2, Metric.TOTAL_VARIATION, Metric.L_INFINITY):
        assert 0.15 < found[metric].effect < 0.33


@pytest.mark.parametrize(
    ("baseline", "current"),
    [
        pytest.param([5.0] * 900, [5.0] * 900, id="one value"),
        pytest.param([5.0] * 900, [NAN] * 900, id="current all missing"),
        pytest.param([NAN] * 900, [5.0] * 900, id="baseline all missing"),
        pytest.param([NAN] * 900, [NAN] * 900, id="all missing"),
        pytest.param([], [], id="empty"),
        pytest.param(range(900), [], id="no current row"),
        pytest.param([], range(900), id="no baseline row"),
        pytest.param([INF, -INF, 1.0] * 300, [INF, -INF, 2.0] * 300, id="infinite among others"),
        pytest.param([INF] * 900, [-INF] * 900, id="infinite only"),
        pytest.param([1e18 + i * 1e5 for i in range(900)], [1e18 + i * 1e5 for i in range(800)], id="1e18"),
        pytest.param([1e308, -1e308] * 450, [1e308, -1e308, 0] * 300, id="largest floats"),
        pytest.param([5e-324, 0.0] * 450, [0.0, 5e-324] * 450, id="smallest floats"),
        pytest.param(range(10_001), range(10_001), id="10,001 rows"),
    ],
)
def test_odd_numbers_give_finite_values_or_none(baseline, current) -> None:
    _is_sound(_numbers(list(baseline), list(current)))
    _is_sound(_numbers(list(baseline), list(current), block=60))


def test_the_same_rows_are_at_no_distance() -> None:
    for rows in ([5.0] * 900, list(range(10_001)), [1.0, NAN, INF, -INF] * 100):
        for one in _numbers(rows, rows[::-1]).values():
            assert one.value is None or one.value == pytest.approx(0, abs=1e-9)
            assert one.p_value == pytest.approx(1, abs=1e-6) or one.value is None


def test_one_value_that_becomes_another_has_drifted() -> None:
    for other in (4.0, 6.0):
        found = _numbers([5.0] * 1000, [other] * 1000)
        assert found[Metric.WASSERSTEIN].value == 1.0
        assert found[Metric.WASSERSTEIN_NORMALIZED].value is None
        assert all(one.p_value < 1e-9 for one in found.values())
        assert all(one.effect > 0.5 for one in found.values())


def test_missing_values_are_a_bin_and_no_values() -> None:
    rng = np.random.default_rng(2)
    baseline, current = rng.normal(size=4000), rng.normal(size=4000)
    current[:1000] = NAN
    found = _numbers(baseline, current)
    assert found[Metric.L_INFINITY].value == pytest.approx(0.25)
    assert found[Metric.PSI].p_value < 1e-9
    assert (found[Metric.KS].n, found[Metric.PSI].n) == (3000, 4000)
    assert found[Metric.KS].p_value > 1e-4


def test_an_outlier_a_million_times_as_large_changes_the_distance_and_not_the_verdict() -> None:
    rng = np.random.default_rng(3)
    baseline, current = rng.normal(size=20_000), rng.normal(0.3, 1, 2000)
    before = _numbers(baseline, current)
    current[0] *= 1e6
    after = _numbers(baseline, current)
    for metric in set(ALL) - {Metric.WASSERSTEIN, Metric.WASSERSTEIN_NORMALIZED}:
        assert after[metric].value == pytest.approx(before[metric].value, rel=0.1)
        assert after[metric].p_value < 1e-6
    assert after[Metric.WASSERSTEIN].value > 100 * before[Metric.WASSERSTEIN].value
    assert after[Metric.WASSERSTEIN].p_value < 1e-6
    quiet = rng.normal(size=2000)
    quiet[0] = 1e6
    assert _numbers(baseline, quiet)[Metric.WASSERSTEIN].p_value > 1e-4


def test_eight_hundred_rows_are_treated_as_any_other_number() -> None:
    rng = np.random.default_rng(4)
    baseline, current = rng.normal(size=800), rng.normal(size=800)
    expected = ks_2samp(current, baseline, method="asymp").statistic
    assert _numbers(baseline, current)[Metric.KS].value == pytest.approx(expected, abs=1e-12)


def test_an_unseen_category_is_far_and_finite() -> None:
    found = _values([500, 500, 0, 0], [450, 450, 100, 0])
    _is_sound(found)
    assert found[Metric.TOTAL_VARIATION].value == pytest.approx(0.1)
    assert found[Metric.CHI2].p_value < 1e-9
    assert found[Metric.CHI2].effect > 0.3


def test_values_that_are_all_rare_say_nothing() -> None:
    found = _values([1] * 1000 + [0] * 1000, [0] * 1000 + [1] * 1000)
    assert found[Metric.TOTAL_VARIATION].value == 1.0
    assert all(one.p_value == 1.0 and one.effect == 0.0 for one in found.values())


def test_counts_have_no_distance_of_values() -> None:
    assert {Metric.KS, Metric.WASSERSTEIN, Metric.WASSERSTEIN_NORMALIZED}.isdisjoint(_values([100, 100], [100, 90]))


def test_without_counts_there_is_no_distance() -> None:
    assert all(one.value is None and one.p_value is None for one in _values([0, 0], [10, 0]).values())


def test_calibrated_are_enough_chunks_that_are_free_of_each_other() -> None:
    rng, n = np.random.default_rng(8), 100
    for chunks, wander, expected in ((FEWEST_BLOCKS, 0.0, True), (FEWEST_BLOCKS - 1, 0.0, False), (200, 0.5, False)):
        level = np.zeros(chunks)
        for i in range(1, chunks):
            level[i] = 0.9 * level[i - 1] + wander * rng.normal()
        baseline = (level[:, None] + rng.normal(size=(chunks, n))).ravel()
        found = _numbers(baseline, rng.normal(size=n), block=n)
        assert {one.calibrated for one in found.values()} == {expected}


def test_a_baseline_whose_chunks_wander_makes_the_same_distance_less_surprising() -> None:
    rng, n, chunks = np.random.default_rng(10), 200, 120
    baseline = (0.2 * rng.normal(size=(chunks, 1)) + rng.normal(size=(chunks, n))).ravel()
    current = 0.3 + rng.normal(size=n)
    aware, unaware = _numbers(baseline, current, block=n), _numbers(baseline, current)
    assert all(aware[metric].value == unaware[metric].value for metric in ALL)
    assert all(aware[metric].p_value > 3 * unaware[metric].p_value for metric in ALL)
    assert aware[Metric.KS].calibrated
    assert not unaware[Metric.KS].calibrated


def test_only_the_wanted_metrics_are_measured_in_their_order() -> None:
    column = NumericColumn(np.arange(500.0), 0, (Metric.KS, Metric.PSI))
    assert [one.metric for one in column.compare(np.arange(100.0))] == [Metric.KS, Metric.PSI]
