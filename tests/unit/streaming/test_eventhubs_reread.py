"""Which ranges are received to read single events again."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.dead_letters import Place
from pegel.streaming.sources.eventhubs_offsets import HubRange, PartitionState
from pegel.streaming.sources.eventhubs_reread import MAX_GAP, PER_PARTITION, in_turns, ranges_around

offsets = st.integers(0, 5 * MAX_GAP)
places = st.builds(Place, st.sampled_from(("a", "a/b")), st.sampled_from(("0", "1")), offsets)
states = st.dictionaries(
    st.sampled_from(("a/0", "a/1", "a/b/0")),
    st.tuples(offsets, offsets).map(sorted).map(lambda ends: PartitionState(*ends)),
)


@given(st.lists(places, max_size=30), states)
def test_ranges_hold_every_place_that_the_hub_holds_and_little_else(wanted, held):
    there = {p for p in wanted if (s := held.get(f"{p.hub}/{p.partition}")) and s.begin <= p.offset < s.end}
    ranges = ranges_around(wanted, held)
    covered = [Place(r.hub, r.partition, n) for r in ranges for n in range(r.start, r.end)]
    assert len(covered) == len(set(covered))
    assert there <= set(covered)
    for r in ranges:
        inside = sorted(p.offset for p in there if (p.hub, p.partition) == (r.hub, r.partition))
        inside = [n for n in inside if r.start <= n < r.end]
        assert (inside[0], inside[-1]) == (r.start, r.end - 1)
        assert all(b - a <= MAX_GAP for a, b in pairwise(inside))


distinct = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("012"), offsets), unique=True, max_size=40)


@given(distinct)
def test_turns_hold_each_range_once_and_leave_room_for_other_receivers_at_every_partition(wanted):
    ranges = [HubRange(hub, partition, start, start + 1) for hub, partition, start in wanted]
    turns = list(in_turns(ranges))
    assert Counter(one for turn in turns for one in turn) == Counter(ranges)
    assert all(turns)
    for turn in turns:
        assert max(Counter(one.name for one in turn).values()) <= PER_PARTITION
