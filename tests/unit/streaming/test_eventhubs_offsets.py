"""A micro-batch ends where it should: within its limit, never behind its start, the same for the same input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import OutsideError
from pegel.streaming.sources.eventhubs_offsets import (
    HubRange,
    PartitionState,
    deal,
    next_positions,
    ranges_between,
    share_by_lag,
)

LAGS = st.dictionaries(st.sampled_from([f"h/{n}" for n in range(9)]), st.integers(0, 10**6), max_size=9)


@given(LAGS, st.integers(1, 10**5))
def test_shares_fill_the_limit_exactly_and_none_exceeds_its_lag(lags, limit):
    shares = share_by_lag(lags, limit)
    assert sum(shares.values()) == min(limit, sum(lags.values()))
    assert all(0 <= shares[name] <= lag for name, lag in lags.items())


@given(LAGS, st.integers(9, 10**5))
def test_no_partition_that_lags_starves(lags, limit):
    shares = share_by_lag(lags, limit)
    assert all(shares[name] for name, lag in lags.items() if lag)


def test_positions_go_on_from_the_start_and_take_new_partitions_from_their_oldest_event():
    states = {"a/0": PartitionState(0, 10), "b/0": PartitionState(5, 8)}
    assert next_positions({"a/0": 4}, states) == {"a/0": 10, "b/0": 8}
    assert next_positions({"a/0": 4}, states, 3) == {"a/0": 6, "b/0": 6}


def test_positions_stay_where_they_are_when_there_is_nothing_new_and_when_a_partition_is_gone():
    start = {"a/0": 10, "gone/0": 3}
    assert next_positions(start, {"a/0": PartitionState(2, 10)}) == start


def test_a_hub_that_was_made_again_is_an_error_that_says_so():
    with pytest.raises(OutsideError, match="a/0 ends at sequence number 3, but the checkpoint has read up to 9: "):
        next_positions({"a/0": 10}, {"a/0": PartitionState(0, 4)})
    with pytest.raises(OutsideError, match="start with a new checkpoint"):
        ranges_between({"a/0": 10}, {"a/0": 4})


@given(st.lists(st.integers(1, 1000), max_size=12), st.integers(1, 5))
def test_every_range_is_dealt_to_exactly_one_task(sizes, tasks):
    ranges = [HubRange("h", str(place), 7, 7 + size) for place, size in enumerate(sizes)]
    dealt = deal(ranges, tasks)
    assert sorted((one for task in dealt for one in task), key=lambda one: int(one.partition)) == ranges
    assert len(dealt) == min(tasks, len(ranges))


def test_ranges_name_their_hub_and_partition_and_leave_empty_ones_out():
    assert ranges_between({"a/b/0": 1, "c/1": 5}, {"a/b/0": 3, "c/1": 5}) == [HubRange("a/b", "0", 1, 3)]
