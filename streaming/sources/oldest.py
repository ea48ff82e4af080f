"""The oldest event that a hub still holds: what tells a loss from a number that no event has. Edge."""

from collections.abc import Callable

from pegel.conf.settings import SourceSettings

OldestKept = Callable[[str, str], int | None]
"""(hub, partition) -> the lowest number that the hub holds; None if the source itself refuses to go over a loss."""


def oldest_kept(settings: SourceSettings) -> OldestKept:
    """What to ask about a hole in a partition.

    Over Kafka nobody is asked: Spark's source, with ``failOnDataLoss``, goes over a hole only if the broker still holds
    older records than it, so that the numbers in it belong to no event. They are the marks that a transaction leaves,
    or what the compaction of a topic has put together.

    The hub's answer raises :class:`pegel.errors.OutsideError` if there is none.
    """
    if settings.kind != "eventhubs":
        return lambda _hub, _partition: None
    from pegel.streaming.sources.eventhubs_client import access_of, partition_state

    access = access_of(settings.eventhubs)
    return lambda hub, partition: partition_state(access, hub, partition).begin
