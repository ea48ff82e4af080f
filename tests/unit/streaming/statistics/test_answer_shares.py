"""Shares of what answers said of themselves: a plain recount, and silence is never harmless."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.errors import ContractError
from pegel.schemas.grids import MISSING_NAME
from pegel.streaming.statistics.answer_shares import SEVERITIES, UNKNOWN, share_at_least, share_of, shares

LEVELS = st.lists(st.sampled_from((*SEVERITIES, UNKNOWN, MISSING_NAME)), max_size=60)


@settings(max_examples=50)
@given(LEVELS, st.sampled_from(SEVERITIES))
def test_shares_equal_a_plain_recount_of_the_events_that_say_something(levels: list[str], level: str) -> None:
    counts = Counter(levels)
    told = [SEVERITIES.index(one) for one in levels if one in SEVERITIES]
    found, at_least = shares(counts), share_at_least(counts, level)
    if not told:
        assert at_least.value is None
        return
    own = SEVERITIES.index(level)
    assert at_least.value == sum(one >= own for one in told) / len(told)
    assert share_of(counts, level).value == sum(one == own for one in told) / len(told)
    assert found.missing.value == (len(levels) - len(told)) / len(levels)
    assert at_least.n == len(told)


def test_name_that_never_came_has_a_share_of_0_and_an_upper_bound() -> None:
    found = share_of({"stop": 100}, "length")
    assert found.value == 0
    assert 0.03 < found.interval.upper < 0.04


def test_silence_alone_has_no_share() -> None:
    found = shares({MISSING_NAME: 5})
    assert (found.missing.value, dict(found.shares)) == (1.0, {})


def test_level_that_is_new_does_not_pass_for_harmless() -> None:
    with pytest.raises(ContractError, match="'severe' is no level"):
        share_at_least({"safe": 5, "severe": 1}, "medium")
    with pytest.raises(ContractError, match="'worst' is no level"):
        share_at_least({"safe": 5}, "worst")
