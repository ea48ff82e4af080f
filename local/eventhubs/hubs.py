"""Hubs, their partitions and consumer groups: where an event goes, and who may read. Edge: it holds the logs."""

import itertools
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from pegel.errors import SettingsError
from pegel.local.eventhubs import conditions
from pegel.local.eventhubs.conditions import RefusedError
from pegel.local.eventhubs.log import PartitionLog
from pegel.local.eventhubs.partition_key import partition_of

DEFAULT_GROUP = "$Default"
MAX_PARTITIONS = 32
"""Per hub, as in the standard tier."""
MAX_NON_EPOCH_READERS = 5
"""Per partition and consumer group, as the service documents."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,254}[A-Za-z0-9])?")


class Reader(Protocol):
    """A receiver of one partition, as the partition and the consumer group see it."""

    epoch: int | None

    def wake(self) -> None:
        """There are new events."""

    def steal(self, description: str) -> None:
        """Another reader takes over: close the link."""


class Partition:
    """One partition: its log and the readers that wait for new events."""

    def __init__(self, path: Path) -> None:
        self.log = PartitionLog(path)
        self.readers: set[Reader] = set()

    def append(self, events: list[bytes], key: str | None) -> None:
        """Write events, then wake the readers.

        Raises:
            OSError: if they cannot be written.
        """
        self.log.append(events, key, time.time_ns() // 1_000_000)
        for reader in self.readers:
            reader.wake()


class Hub:
    """One event hub.

    Args:
        name: letters, digits, periods, hyphens and underscores.
        partitions: how many, 1 to 32.
        folder: where the logs of this hub lie.
        groups: names of consumer groups beside ``$Default``.

    Raises:
        SettingsError: if the name or the number is not allowed, or the folder holds more partitions than that.
    """

    def __init__(self, name: str, partitions: int, folder: Path, groups: Iterable[str]) -> None:
        if not _NAME.fullmatch(name):
            msg = f"{name!r} cannot name a hub: letters, digits, '.', '-' and '_', a letter or digit first and last"
            raise SettingsError(msg)
        if not 1 <= partitions <= MAX_PARTITIONS:
            msg = f"the hub {name!r} cannot have {partitions} partitions: a hub has 1 to {MAX_PARTITIONS}"
            raise SettingsError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        there = len(list(folder.glob("*.log")))
        if there > partitions:
            msg = (
                f"the hub {name!r} cannot shrink from {there} partitions to {partitions}: its events lie in {folder};"
                f" ask for {there} or more, or use another data folder"
            )
            raise SettingsError(msg)
        self.name = name
        self.partitions = [Partition(folder / f"{number}.log") for number in range(partitions)]
        self.created_ms = int(folder.stat().st_ctime * 1000)
        self.groups = {group.lower(): ConsumerGroup(partitions) for group in (DEFAULT_GROUP, *groups)}
        self._next = itertools.cycle(range(partitions))

    def partition(self, number: str) -> Partition:
        """The partition of that id.

        Raises:
            RefusedError: if there is none.
        """
        if not number.isdecimal() or int(number) >= len(self.partitions):
            allowed = f"0 to {len(self.partitions) - 1}"
            raise RefusedError(conditions.OUT_OF_RANGE, f"The hub {self.name} has the partitions {allowed} only.")
        return self.partitions[int(number)]

    def route(self, key: str | None) -> Partition:
        """Where a publication without a partition id goes: by its key, else one partition after the other."""
        return self.partitions[next(self._next) if key is None else partition_of(key, len(self.partitions))]

    def close(self) -> None:
        """Close the logs."""
        for partition in self.partitions:
            partition.log.close()


class ConsumerGroup:
    """Who reads which partition in one consumer group, and who must give way."""

    def __init__(self, partitions: int) -> None:
        self._readers: list[list[Reader]] = [[] for _ in range(partitions)]

    def admit(self, partition: int, reader: Reader) -> None:
        """Let a reader in, and throw out those whose epoch is not above its own.

        Raises:
            RefusedError: if a higher epoch, or any for a reader without, or five readers without, are there already.
        """
        there = self._readers[partition]
        highest = max((other.epoch for other in there if other.epoch is not None), default=None)
        if highest is not None and (reader.epoch is None or reader.epoch < highest):
            raise RefusedError(conditions.STOLEN, f"A receiver with the epoch {highest} reads this partition.")
        if reader.epoch is None and len(there) >= MAX_NON_EPOCH_READERS:
            limit = f"{MAX_NON_EPOCH_READERS} receivers without an epoch"
            raise RefusedError(
                conditions.LIMIT_EXCEEDED, f"There are {limit} on this partition and group, the most allowed."
            )
        if reader.epoch is not None:
            for other in tuple(there):
                other.steal(f"A receiver with the epoch {reader.epoch} took over this partition.")
        there.append(reader)

    def release(self, partition: int, reader: Reader) -> None:
        """Forget a reader; one that is not there is no error."""
        if reader in self._readers[partition]:
            self._readers[partition].remove(reader)


class Namespace:
    """All hubs of one server, by name; names and groups are compared without case, as the service does."""

    def __init__(self, hubs: Mapping[str, int], data: Path, groups: Iterable[str]) -> None:
        groups = tuple(groups)
        self.hubs = {name.lower(): Hub(name, count, data / name, groups) for name, count in hubs.items()}

    def hub(self, name: str) -> Hub:
        """The hub of that name.

        Raises:
            RefusedError: if there is none.
        """
        try:
            return self.hubs[name.lower()]
        except KeyError:
            raise RefusedError(conditions.NOT_FOUND, f"There is no hub {name!r} here.") from None

    def group(self, hub: Hub, name: str) -> ConsumerGroup:
        """The consumer group of that name.

        Raises:
            RefusedError: if it was not declared.
        """
        try:
            return hub.groups[name.lower()]
        except KeyError:
            raise RefusedError(conditions.NOT_FOUND, f"The hub {hub.name} has no consumer group {name!r}.") from None

    def close(self) -> None:
        """Close all logs."""
        for hub in self.hubs.values():
            hub.close()
