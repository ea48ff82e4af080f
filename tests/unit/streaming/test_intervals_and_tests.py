"""Intervals and p-values against published tables and scipy."""

from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2, ttest_ind_from_stats
from scipy.stats import kstwobign as kolmogorov_law

from pegel.schemas.grids import NUMERIC, GridColumn
from pegel.streaming.statistics.cells import Moments, dense, quantile
from pegel.streaming.statistics.counting import cells_of
from pegel.streaming.statistics.intervals import mean_interval, quantile_interval, wilson
from pegel.streaming.statistics.null_tests import (
    divergence_effect,
    divergence_p_value,
    kolmogorov_smirnov_effect,
    kolmogorov_smirnov_p_value,
    mean_p_value,
    rate_p_value,
)


@pytest.mark.parametrize(
    ("hits", "n", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_equals_newcombe_1998_table_1(hits: int, n: int, lower: float, upper: float) -> None:
    found = wilson(hits, n)
    assert found is not None
    assert (round(found.lower, 4), round(found.upper, 4)) == (lower, upper)


@settings(max_examples=100)
@given(n=st.integers(1, 10**6), share=st.floats(0, 1))
def test_wilson_equals_scipy(n: int, share: float) -> None:
    hits = round(share * n)
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    found = wilson(hits, n)
    assert found is not None
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0.0 <= found.lower <= hits / n <= found.upper <= 1.0


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_of_impossible_counts_is_not_defined(hits: int, n: int) -> None:
    assert wilson(hits, n) is None


@pytest.mark.parametrize(("n", "quantile_of_t"), [(2, 12.706), (10, 2.262), (31, 2.042), (121, 1.980)])
def test_mean_interval_equals_students_table(n: int, quantile_of_t: float) -> None:
    found = mean_interval(Moments(n, 5.0, sqrt(n)))
    assert found is not None
    assert found.upper - 5.0 == pytest.approx(quantile_of_t, abs=5e-4)
    assert 5.0 - found.lower == pytest.approx(found.upper - 5.0)


@pytest.mark.parametrize(("df", "critical", "p"), [(1, 3.841, 0.05), (10, 18.307, 0.05), (19, 36.191, 0.01)])
def test_divergence_p_value_equals_the_chi_squared_table(df: int, critical: float, p: float) -> None:
    n, m = 400, 1600
    assert divergence_p_value(critical * (1 / n + 1 / m), df + 1, n, m) == pytest.approx(p, abs=5e-6 + p * 2e-4)


@pytest.mark.parametrize(("factor", "p"), [(1.22, 0.10), (1.36, 0.05), (1.63, 0.01)])
def test_gap_p_value_equals_smirnovs_table(factor: float, p: float) -> None:
    # Smirnov's rule for two samples: the gap must pass c(p) * sqrt((n + m) / (n m)).
    n, m = 300, 700
    assert kolmogorov_smirnov_p_value(factor * sqrt((n + m) / (n * m)), n, m) == pytest.approx(p, rel=0.03)
    exact = kolmogorov_law.isf(p)
    assert kolmogorov_smirnov_p_value(exact * sqrt((n + m) / (n * m)), n, m) == pytest.approx(p, abs=1e-9)


@settings(max_examples=100)
@given(
    n=st.integers(2, 10**5),
    m=st.integers(2, 10**5),
    shift=st.floats(-5, 5),
    sd=st.floats(0.01, 100),
    other=st.floats(0.01, 100),
)
def test_mean_p_value_equals_welch_in_scipy(n: int, m: int, shift: float, sd: float, other: float) -> None:
    expected = ttest_ind_from_stats(shift, sd, n, 0.0, other, m, equal_var=False).pvalue
    assert mean_p_value(Moments(n, shift, sd), Moments(m, 0.0, other)) == pytest.approx(expected, abs=1e-12, rel=1e-9)


@settings(max_examples=100)
@given(n=st.integers(1, 10**5), m=st.integers(1, 10**5), a=st.floats(0, 1), b=st.floats(0, 1))
def test_rate_p_value_is_that_of_the_two_by_two_table(n: int, m: int, a: float, b: float) -> None:
    hits, others = round(a * n), round(b * m)
    both = hits + others
    if both in (0, n + m):
        assert rate_p_value(hits, n, others, m) == 1.0
        return
    # Pearson's statistic of the table is the square of the pooled z.
    pearson = (hits * (m - others) - others * (n - hits)) ** 2 * (n + m) / (n * m * both * (n + m - both))
    assert rate_p_value(hits, n, others, m) == pytest.approx(chi2.sf(pearson, 1), abs=1e-12, rel=1e-6)


def test_quantile_interval_holds_its_confidence() -> None:
    rng = np.random.default_rng(5)
    column = GridColumn("x", NUMERIC, "latency_ms", center=1.0, scale=1.0)
    held = 0
    for _ in range(400):
        counts = dense(Counter(cells_of(rng.exponential(1.0, 300), 1.0, 1.0).tolist()))
        found = quantile_interval(counts, 0.9, column)
        assert found is not None
        assert found.lower <= quantile(counts, 0.9, column) <= found.upper
        held += found.lower <= np.log(10) <= found.upper
    # 95 % of 400 is 380 with a standard deviation of 4.4.
    assert 366 <= held <= 394


def test_effects_find_the_shift_behind_a_distance() -> None:
    # A normal law that moves by d has PSI d^2 and a gap of 2 Phi(d / 2) - 1.
    n, m, bins, d = 2000, 8000, 20, 0.3
    by_chance = (bins - 1) * (1 / n + 1 / m)
    assert divergence_effect(d * d + by_chance, bins, n, m) == pytest.approx(d, abs=1e-12)
    assert divergence_effect(by_chance / 2, bins, n, m) == 0.0
    assert kolmogorov_smirnov_effect(0.11923538, 10**9, 10**9) == pytest.approx(d, rel=0.005)
