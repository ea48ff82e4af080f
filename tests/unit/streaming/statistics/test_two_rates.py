"""The interval of a ratio of rates against scipy's; that of a difference is tested with the fairness gate."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.contingency import relative_risk

from pegel.streaming.statistics.two_rates import ratio_interval


@settings(max_examples=100)
@given(n=st.integers(1, 10**6), m=st.integers(1, 10**6), a=st.floats(0, 1), b=st.floats(0, 1))
def test_interval_of_a_ratio_is_that_of_scipy(n: int, m: int, a: float, b: float) -> None:
    hits, others = max(1, round(a * n)), max(1, round(b * m))
    expected = relative_risk(hits, n, others, m).confidence_interval(0.95)
    found = ratio_interval(hits, n, others, m)
    assert found is not None
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize("counts", [(0, 5, 1, 5), (1, 5, 0, 5), (0, 0, 1, 5), (1, 5, 0, 0), (6, 5, 1, 5)])
def test_interval_of_a_ratio_without_hits_is_not_defined(counts: tuple[int, int, int, int]) -> None:
    assert ratio_interval(*counts) is None
