"""Which ranges are received to read single events again."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.dead_letters import Place
from pegel.streaming.sources.eventhubs_offsets import PartitionState
from pegel.streaming.sources.eventhubs_reread import MAX_GAP, ranges_around

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
