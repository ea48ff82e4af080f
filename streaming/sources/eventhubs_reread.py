"""Single events of Event Hubs, read once more from where they lie, while the hub keeps them. Edge."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from pegel.schemas.dead_letters import Place
from pegel.streaming.sources.eventhubs_client import HubAccess, partition_states
from pegel.streaming.sources.eventhubs_offsets import HubRange, PartitionState
from pegel.streaming.sources.eventhubs_receive import receive

MAX_GAP = 500
"""Receiving this many events that nobody wants takes less time than opening another receiver does."""

_AT_ONCE = 8
"""Receivers that are open at the same time."""
PER_PARTITION = 2
"""Of these, at one partition: a consumer group has five there, and the stream needs its own."""


def reread(access: HubAccess, places: Collection[Place]) -> Iterator[tuple[Place, bytes]]:
    """The events at these places, in any order; what a hub does not hold any more is left out.

    Raises:
        OutsideError: if a hub cannot be asked, or stops answering.
    """
    wanted = set(places)
    states = partition_states(access, sorted({place.hub for place in wanted}), {})
    # The hub may let go of events between the question and the answer.
    patient = replace(access, fail_on_data_loss=False)
    for some in in_turns(ranges_around(wanted, states)):
        for hub, partition, number, _, body in receive(patient, some):
            place = Place(hub, partition, number)
            if place in wanted:
                yield place, body


def ranges_around(places: Iterable[Place], states: Mapping[str, PartitionState]) -> list[HubRange]:
    """The ranges to receive, by name and start: close places share one, and what the hub does not hold is left out.

    Example:
        >>> there = {"a/0": PartitionState(begin=5, end=2000)}
        >>> places = [Place("a", "0", n) for n in (4, 5, 7, 1999, 2000)] + [Place("a", "1", 0)]
        >>> [(r.name, r.start, r.end) for r in ranges_around(places, there)]
        [('a/0', 5, 8), ('a/0', 1999, 2000)]
    """
    by_partition: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place in sorted(set(places)):
        state = states.get(f"{place.hub}/{place.partition}", PartitionState(0, 0))
        if state.begin <= place.offset < state.end:
            by_partition[place.hub, place.partition].append(place.offset)
    ranges: list[HubRange] = []
    for (hub, partition), offsets in by_partition.items():
        start = last = offsets[0]
        for offset in offsets[1:]:
            if offset - last > MAX_GAP:
                ranges.append(HubRange(hub, partition, start, last + 1))
                start = offset
            last = offset
        ranges.append(HubRange(hub, partition, start, last + 1))
    return ranges


def in_turns(ranges: Iterable[HubRange]) -> Iterator[list[HubRange]]:
    """The ranges again, those that are received at the same time together.

    Example:
        >>> five = [HubRange("a", number, start, start + 1) for number, start in zip("00010", range(5), strict=True)]
        >>> [[r.start for r in turn] for turn in in_turns(five)]
        [[0, 1, 3], [2, 4]]
    """
    left = list(ranges)
    while left:
        turn: list[HubRange] = []
        at: Counter[str] = Counter()
        for one in left:
            if len(turn) < _AT_ONCE and at[one.name] < PER_PARTITION:
                turn.append(one)
                at[one.name] += 1
        yield turn
        left = [one for one in left if one not in turn]
