"""Numbers of a partition that a micro-batch does not have, although it has later ones. Pure.

What a hub and its partition are called, and first, last and count of what was read, stand in the column ``offsets`` of
``batches``. Files have no holes: they are read whole, and each is a partition of its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pegel.schemas.partials import BACKFILL_HUB

Partition = tuple[str, str]
"""(hub, partition)."""


@dataclass(frozen=True, slots=True)
class Hole:
    """The numbers ``first`` to ``last`` of a partition, both ends inclusive."""

    hub: str
    partition: str
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return self.last - self.first + 1


def holes_within(index: pa.Table, ranges: Iterable[Mapping[str, Any]]) -> tuple[Hole, ...]:
    """The holes between the first and the last number of each partition, in order.

    Args:
        index: ``hub, partition, offset`` of all events of the micro-batch. It is looked at only where there is a hole.
        ranges: what the column ``offsets`` holds of them.

    Example:
        >>> index = pa.table({"hub": ["a"] * 4, "partition": ["0"] * 4, "offset": [8, 3, 4, 7]})
        >>> holes_within(index, [{"hub": "a", "partition": "0", "first": 3, "last": 8, "count": 4}])
        (Hole(hub='a', partition='0', first=5, last=6),)
    """
    found: list[Hole] = []
    for one in ranges:
        if one["count"] == one["last"] - one["first"] + 1:
            continue
        mine = pc.and_(pc.equal(index["hub"], one["hub"]), pc.equal(index["partition"], one["partition"]))
        offsets = sorted(index.filter(mine)["offset"].to_pylist())
        found += (Hole(one["hub"], one["partition"], a + 1, b - 1) for a, b in pairwise(offsets) if b > a + 1)
    return tuple(found)


class Reached:
    """How far each partition was read by the micro-batches so far.

    Args:
        last: the last number that was read.
    """

    def __init__(self, last: Mapping[Partition, int]) -> None:
        self._last = dict(last)

    def holes_before(self, ranges: Iterable[Mapping[str, Any]]) -> Iterator[Hole]:
        """The holes between what was read before and the first number of each partition.

        A partition that nothing was read of may begin anywhere: a new checkpoint begins with what the hub still holds.

        Example:
            >>> reached = Reached({("a", "0"): 4})
            >>> next_batch = {"partition": "0", "first": 7, "last": 9}
            >>> list(reached.holes_before([{"hub": "a", **next_batch}, {"hub": "b", **next_batch}]))
            [Hole(hub='a', partition='0', first=5, last=6)]
        """
        for one in ranges:
            last = self._last.get((one["hub"], one["partition"]))
            if last is not None and one["first"] > last + 1:
                yield Hole(one["hub"], one["partition"], last + 1, one["first"] - 1)

    def advance(self, ranges: Iterable[Mapping[str, Any]]) -> None:
        """Go on behind a micro-batch."""
        self._last.update({(one["hub"], one["partition"]): one["last"] for one in ranges})


def live(ranges: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of hubs: files beside them are left out."""
    return [one for one in ranges if not one["hub"].endswith(BACKFILL_HUB)]
