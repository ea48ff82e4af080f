"""The laws of distances hold: without drift, a distance is as improbable as its p-value says, and not more often."""

from math import sqrt

import numpy as np
import pytest
from scipy.stats import chi2, kstwobign, norm

from pegel.streaming.statistics.distance_laws import (
    Excess,
    chi_squared_law,
    kolmogorov_smirnov_law,
    l_infinity_law,
    p_value,
    total_variation_law,
    wasserstein_law,
)

_SHARES = {
    "deciles": np.full(10, 0.1),
    "two": np.array([0.9, 0.1]),
    "five": np.array([0.4, 0.3, 0.15, 0.1, 0.05]),
    "zipf": (1 / np.arange(1, 31)) / np.sum(1 / np.arange(1, 31)),
}


def _critical(law, level: float) -> float:
    low, high = 0.0, 1000 * law.mean
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if law.tail(middle) > level else (low, middle)
    return high


@pytest.mark.parametrize("name", _SHARES)
@pytest.mark.parametrize(("n", "m"), [(100, 10_000), (1000, 1000)])
def test_total_variation_keeps_its_level_and_moments(name: str, n: int, m: int) -> None:
    rng, shares = np.random.default_rng(3), _SHARES[name]
    change = np.abs(rng.multinomial(n, shares, 40_000) / n - rng.multinomial(m, shares, 40_000) / m)
    law = total_variation_law(shares)
    squared = (change.sum(axis=1) / 2) ** 2 / (1 / n + 1 / m)
    assert law.mean == pytest.approx(squared.mean(), rel=0.03)
    assert law.variance == pytest.approx(squared.var(), rel=0.15)
    # A normal sum of few rows steps, so that the rate at a level cannot be exact.
    assert 0.03 < np.mean(squared >= _critical(law, 0.05)) < 0.06
    assert np.mean(squared >= _critical(law, 0.001)) < 0.0025


@pytest.mark.parametrize("name", _SHARES)
def test_l_infinity_never_rings_more_often_than_it_says(name: str) -> None:
    rng, shares, n, m = np.random.default_rng(4), _SHARES[name], 100, 10_000
    current, baseline = rng.multinomial(n, shares, 2000), rng.multinomial(m, shares, 2000)
    squared = np.max(np.abs(current / n - baseline / m), axis=1) ** 2 / (1 / n + 1 / m)
    kept = (current + baseline).min(axis=1) > 0
    sides = zip(current[kept], baseline[kept], squared[kept], strict=True)
    p = np.array([l_infinity_law(a, b).tail(x) for a, b, x in sides])
    assert 0.005 < np.mean(p <= 0.05) < 0.065
    assert np.mean(p <= 0.01) < 0.017


def test_wasserstein_of_a_normal_column_has_the_moments_of_a_brownian_bridge() -> None:
    rng, n = np.random.default_rng(5), 800
    steps = np.linspace(-4, 4, 300)
    law = wasserstein_law(np.diff(steps), norm.cdf((steps[1:] + steps[:-1]) / 2))
    ours, theirs = (np.sort(rng.normal(size=(4000, n)), axis=1) for _ in range(2))
    # Of equally many values the distance is the mean gap between those of the same rank.
    squared = np.mean(np.abs(ours - theirs), axis=1) ** 2 / (2 / n)
    assert law.mean == pytest.approx(squared.mean(), rel=0.05)
    assert law.variance == pytest.approx(squared.var(), rel=0.25)
    assert np.mean(squared >= _critical(law, 0.05)) == pytest.approx(0.05, abs=0.012)


def test_laws_that_scipy_knows_are_its_own() -> None:
    assert chi_squared_law(7).tail(20.0) == pytest.approx(chi2.sf(20.0, 7), rel=1e-12)
    ks = kolmogorov_smirnov_law()
    assert ks.tail(1.7**2) == pytest.approx(kstwobign.sf(1.7), rel=1e-9)
    assert ks.mean == pytest.approx(kstwobign.moment(2), rel=1e-6)
    assert ks.variance == pytest.approx(kstwobign.moment(4) - kstwobign.moment(2) ** 2, rel=1e-6)


def test_an_excess_makes_a_distance_less_surprising_and_none_changes_nothing() -> None:
    law, v = chi_squared_law(9), 0.01
    alone = p_value(0.3, v, law)
    assert p_value(0.3, v, law, Excess(0.0, 50)) == alone
    few, many, more = (p_value(0.3, v, law, e) for e in (Excess(0.05, 10), Excess(0.05, 1000), Excess(0.2, 1000)))
    assert alone < many < more < 1
    assert many < few


@pytest.mark.parametrize("per_chance", [1.0, 5.0])
def test_a_wander_in_one_direction_keeps_the_level(per_chance: float) -> None:
    rng, chunks, df = np.random.default_rng(7), 100, 9
    # Squared distances over v of chunks that wander along one axis.
    wander = rng.normal(size=(4000, chunks + 1)) * sqrt(per_chance)
    squared = (rng.normal(size=wander.shape) + wander) ** 2 + rng.chisquare(df - 1, wander.shape)
    excess = np.maximum(squared[:, :-1].mean(axis=1) - df, 0)
    law = chi_squared_law(df)
    p = np.array([p_value(x, 1.0, law, Excess(e, chunks)) for x, e in zip(squared[:, -1], excess, strict=True)])
    assert 0.01 < np.mean(p <= 0.05) < 0.06
    assert np.mean(p <= 0.005) < 0.011
    unaware = np.array([law.tail(x) for x in squared[:, -1]])
    assert np.mean(unaware <= 0.005) > 0.009
