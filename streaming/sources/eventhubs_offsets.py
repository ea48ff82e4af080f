"""How far a micro-batch of the Event Hubs source reads, and how its work is dealt out. Pure.

A position is the next sequence number of a partition; a map of positions goes from ``hub/partition`` to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pegel.errors import OutsideError

Positions = dict[str, int]


@dataclass(frozen=True, slots=True)
class PartitionState:
    """What a partition holds: ``[begin, end)`` by sequence number; equal if it is empty."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class HubRange:
    """The events ``[start, end)`` of one partition, by sequence number."""

    hub: str
    partition: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """``hub/partition``."""
        return f"{self.hub}/{self.partition}"

    @property
    def size(self) -> int:
        """How many events it has."""
        return self.end - self.start


def next_positions(
    start: Mapping[str, int], states: Mapping[str, PartitionState], max_rows: int | None = None
) -> Positions:
    """Where a micro-batch that begins at ``start`` ends.

    A partition that ``start`` does not know is read from its oldest event. One that is not there any more keeps its
    position. Keys come sorted, because Spark compares positions as text.

    Args:
        start: the positions reached so far.
        states: what each partition holds.
        max_rows: at most so many events in all; None for no limit.

    Raises:
        OutsideError: if a partition ends before the position reached: then it is not the same hub any more.
    """
    begin = {name: start.get(name, state.begin) for name, state in states.items()}
    for name, state in states.items():
        _check_same_hub(name, begin[name], state.end)
    lags = {name: state.end - begin[name] for name, state in states.items()}
    shares = lags if max_rows is None else share_by_lag(lags, max_rows)
    reached = {name: begin[name] + share for name, share in shares.items()}
    return dict(sorted({**start, **reached}.items()))


def share_by_lag(lags: Mapping[str, int], max_rows: int) -> dict[str, int]:
    """Deal out at most ``max_rows`` events: one to each partition that lags, the rest in proportion to the lag.

    The one each keeps a small hub moving beside a large backlog. The sum is ``min(max_rows, sum of lags)``.

    >>> share_by_lag({"a/0": 90, "a/1": 10, "b/0": 0}, 10)
    {'a/0': 8, 'a/1': 2, 'b/0': 0}
    """
    if sum(lags.values()) <= max_rows:
        return dict(lags)
    by_lag = sorted(lags, key=lambda name: (-lags[name], name))
    shares = {name: int(lags[name] > 0 and place < max_rows) for place, name in enumerate(by_lag)}
    left = max_rows - sum(shares.values())
    rest = {name: lags[name] - shares[name] for name in by_lag}
    total = sum(rest.values())
    for name in by_lag:
        shares[name] += left * rest[name] // total
    # What rounding down left over goes to the largest remainders.
    over = max_rows - sum(shares.values())
    for name in sorted(by_lag, key=lambda name: (-(left * rest[name] % total), name))[:over]:
        shares[name] += 1
    return {name: shares[name] for name in lags}


def ranges_between(start: Mapping[str, int], end: Mapping[str, int]) -> list[HubRange]:
    """The ranges that are not empty, by name.

    Raises:
        OutsideError: if a partition ends before its start.
    """
    ranges = []
    for name, stop in sorted(end.items()):
        hub, _, partition = name.rpartition("/")
        _check_same_hub(name, start[name], stop)
        if stop > start[name]:
            ranges.append(HubRange(hub, partition, start[name], stop))
    return ranges


def deal(ranges: Iterable[HubRange], tasks: int) -> list[tuple[HubRange, ...]]:
    """Deal ranges out to at most ``tasks`` tasks, the largest first, each to the task that has the least.

    >>> a, b, c = (HubRange("h", str(n), 0, size) for n, size in enumerate((3, 5, 2)))
    >>> [[r.size for r in task] for task in deal([a, b, c], 2)]
    [[5], [3, 2]]
    """
    piles: list[list[HubRange]] = [[] for _ in range(tasks)]
    for wanted in sorted(ranges, key=lambda wanted: (-wanted.size, wanted.name)):
        min(piles, key=_weight).append(wanted)
    return [tuple(pile) for pile in piles if pile]


def _check_same_hub(name: str, reached: int, end: int) -> None:
    if end < reached:
        msg = (
            f"{name} ends at sequence number {end - 1}, but the checkpoint has read up to {reached - 1}: the hub was"
            " deleted and made again; start with a new checkpoint"
        )
        raise OutsideError(msg)


def _weight(pile: Sequence[HubRange]) -> int:
    return sum(wanted.size for wanted in pile)
