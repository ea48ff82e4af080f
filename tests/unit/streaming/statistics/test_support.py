"""The support of a baseline: Fisher's test by scipy, few false alarms, and new kinds of events found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from pegel.streaming.statistics.support import LEVEL, UNKNOWN, unseen_values, weak_answers


@settings(max_examples=30)
@given(found=st.integers(0, 300), rest=st.integers(0, 3000), own=st.integers(0, 100), others=st.integers(4900, 90_000))
def test_chance_of_a_share_is_that_of_fishers_test(found: int, rest: int, own: int, others: int) -> None:
    # The cell in the middle belongs to neither: together with the first it holds more than 5 %.
    baseline, events = np.array([own, others // 2, others - others // 2]), np.array([found, 0, rest])
    judged = weak_answers(events, baseline)
    if not events.sum():
        assert judged == UNKNOWN
        return
    n, m = found + rest, own + others
    assert (judged.share, judged.expected) == (found / n, own / m)
    assert judged.p_value == pytest.approx(hypergeom.sf(found - 1, n + m, found + own, n), rel=1e-6, abs=1e-12)


def test_same_kind_of_events_is_taken_for_outside_no_more_often_than_the_level_says() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(200, 0.5))
    weak = unseen = 0
    for baseline, events in zip(rng.multinomial(3000, shares, 800), rng.multinomial(1000, shares, 800), strict=True):
        weak += weak_answers(events, baseline).outside
        unseen += unseen_values(events, baseline).outside
    # Eight each are to be expected; a law of Poisson with this mean passes 17 once in 500 times.
    assert LEVEL * 800 == 8
    assert max(weak, unseen) <= 17


def test_column_with_many_rare_names_is_not_taken_for_new() -> None:
    rng = np.random.default_rng(2)
    names = 50_000
    shares = 1 / np.arange(1, names + 1)
    shares /= shares.sum()
    off, unseen = 0, []
    for _ in range(60):
        found = unseen_values(rng.multinomial(1000, shares), rng.multinomial(3000, shares))
        off += found.outside
        unseen.append((found.share, found.expected))
    share, expected = np.mean(unseen, axis=0)
    assert share > 0.2
    assert share == pytest.approx(expected, rel=0.03)
    assert off <= 3


@pytest.mark.parametrize("sign", [weak_answers, unseen_values])
def test_new_kind_of_events_is_outside_from_some_number_on(sign) -> None:
    baseline = np.array([0, 30, 970, 2000])
    new = np.array([60, 0, 0, 0])
    assert sign(np.array([0, 10, 323, 667]) + new, baseline).outside
    assert not sign(np.array([0, 10, 323, 667]), baseline).outside
    # One of forty may be chance.
    assert not sign(np.array([1, 0, 12, 27]), baseline).outside


def test_excess_that_cannot_matter_switches_nothing_off() -> None:
    baseline = np.array([1000, 99_000, 9_900_000])
    found = weak_answers(np.array([0, 1200, 98_800]), baseline)
    assert found.p_value < LEVEL
    assert not found.outside


def test_nothing_to_compare_is_not_judged() -> None:
    none, some = np.array([0, 0]), np.array([3, 4])
    for sign in (weak_answers, unseen_values):
        assert sign(none, some) == sign(some, none) == UNKNOWN
