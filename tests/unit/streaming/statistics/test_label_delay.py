"""Delays on their grid: cells in order and narrow, quantiles those of numpy to a cell, completeness told apart."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.streaming.statistics.label_delay import LONGEST_MS, delay_bounds_ms, delay_cell, label_delay

DELAYS = st.one_of(st.integers(0, 200), st.integers(0, LONGEST_MS))


@settings(max_examples=50)
@given(DELAYS)
def test_cell_of_a_delay_holds_it_and_is_narrow(delay: int) -> None:
    low, after = delay_bounds_ms(delay_cell(delay))
    assert low <= delay < after
    assert after - low <= max(1, low / 32)
    assert delay_cell(after) == delay_cell(delay) + 1 or after > LONGEST_MS
    # As SQL says it: digits of the binary text.
    digits = len(f"{delay:b}")
    assert delay_cell(delay) == (delay if delay < 32 else 32 + (digits - 6) * 32 + ((delay >> (digits - 6)) - 32))


def test_delays_that_no_clock_makes_count_at_the_ends() -> None:
    assert delay_cell(-1) == 0
    assert delay_cell(10**18) == delay_cell(LONGEST_MS)


@settings(max_examples=25)
@given(st.lists(DELAYS, min_size=1, max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_quantiles_are_those_of_the_delays_to_a_cell_however_they_are_split(
    delays: list[int], cut: int, unlabelled: int
) -> None:
    parts = Counter(map(delay_cell, delays[:cut]))
    parts.update(map(delay_cell, delays[cut:]))
    events = len(delays) + unlabelled
    found = label_delay(parts, events)
    assert found.completeness.value == len(delays) / events
    for measured, share, among in (
        (found.p50_s, 0.5, delays),
        (found.p90_s, 0.9, delays),
        (found.half_labelled_s, 0.5, [*delays, *[np.inf] * unlabelled]),
    ):
        exact = np.quantile(among, share, method="inverted_cdf") / 1000
        if np.isinf(exact):
            assert measured.value is None
        else:
            assert measured.value == pytest.approx(exact, rel=1 / 62, abs=0.0005)
            if measured.interval is not None:
                assert measured.interval.lower <= measured.value <= measured.interval.upper


def test_interval_of_a_median_delay_holds_it_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for delays in rng.lognormal(8, 1.5, (300, 200)):
        found = label_delay(Counter(map(delay_cell, delays.astype(int).tolist())), 400).p50_s.interval
        held += found.lower <= np.exp(8) / 1000 <= found.upper
    assert 273 <= held <= 298


def test_no_labels_have_no_delay_and_no_events_no_completeness() -> None:
    found = label_delay({}, 10)
    assert (found.completeness.value, found.p50_s.value, found.half_labelled_s.value) == (0.0, None, None)
    assert label_delay({}, 0).completeness.value is None
    # A label of an event that is counted elsewhere does not make more than all of them complete.
    assert label_delay({5: 3}, 2).completeness.value == 1.0
