"""How far event time is complete: from the partitions' own clocks, never from the wall. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

PartitionClock = Mapping[tuple[str, str], datetime]
"""(hub, partition) -> the highest enqueued time read from it."""


class Watermark:
    """The time before which every window is final.

    It is the lowest of the partitions' highest enqueued times, less the allowed lateness. A partition whose newest
    event is more than ``idle`` behind the newest of all is left out, or one silent partition would hold every window
    open. It never goes back, so a window that was final stays so: what comes later makes a new revision.

    Args:
        lateness: how long after its end a window waits for late events.
        idle: see above.

    Example:
        >>> from datetime import UTC
        >>> at = lambda second: datetime(2026, 11, 25, 3, 0, second, tzinfo=UTC)
        >>> mark = Watermark(timedelta(seconds=5), timedelta(seconds=30))
        >>> mark.advance({("predictions", "0"): at(40), ("predictions", "1"): at(20), ("predictions", "2"): at(1)})
        >>> mark.time.second
        15
    """

    def __init__(self, lateness: timedelta, idle: timedelta) -> None:
        self._lateness = lateness
        self._idle = idle
        self.clock: dict[tuple[str, str], datetime] = {}
        self.time: datetime | None = None

    def advance(self, clock: PartitionClock) -> None:
        """Take in the clocks of one micro-batch; partitions that it did not read may be left out."""
        for partition, enqueued in clock.items():
            self.clock[partition] = max(enqueued, self.clock.get(partition, enqueued))
        if not self.clock:
            return
        alive = max(self.clock.values()) - self._idle
        lowest = min(enqueued for enqueued in self.clock.values() if enqueued >= alive) - self._lateness
        self.time = lowest if self.time is None else max(self.time, lowest)

    def restore(self, clock: PartitionClock, time: datetime | None) -> None:
        """Go back to a recorded state."""
        self.clock = dict(clock)
        self.time = time

    def has_passed(self, end: datetime) -> bool:
        """Whether everything before ``end`` is final."""
        return self.time is not None and end <= self.time
