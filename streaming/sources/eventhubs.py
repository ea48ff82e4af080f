"""Spark's streaming source ``eventhubs``: Event Hubs over AMQP, by the real ``azure-eventhub`` SDK. Edge.

The positions lie in Spark's checkpoint, as ``{"hub/partition": next sequence number}``; no checkpoint store of Event
Hubs is used. A replayed micro-batch has the same rows, as long as the hub still keeps them.

The connection string is no option, since options show up in plans: the option names the environment variable or the
file that holds it, and each Python worker reads it there.

Admission control needs Spark 4.2; on 4.1 a micro-batch takes all there is (run once on 4.1.0: it reads and resumes).
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import SourceSettings
from pegel.errors import SettingsError
from pegel.streaming.sources import eventhubs_client, eventhubs_receive
from pegel.streaming.sources.eventhubs_client import HubAccess
from pegel.streaming.sources.eventhubs_offsets import (
    HubRange,
    PartitionState,
    Positions,
    deal,
    next_positions,
    ranges_between,
)
from pegel.streaming.sources.eventhubs_receive import Row

if TYPE_CHECKING:
    from pyspark.sql.streaming.datasource import ReadLimit, SupportsTriggerAvailableNow
    from pyspark.sql.types import StructType
else:
    try:
        from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow
    except ImportError:  # Spark 4.1

        class SupportsTriggerAvailableNow:
            """What Spark 4.2 looks for; 4.1 freezes the end of the stream by itself."""


FORMAT = "eventhubs"
SCHEMA = "hub string, partition string, offset bigint, enqueued_time timestamp, body binary"
_POSITIONS = ("earliest", "latest")


def register(spark: SparkSession) -> None:
    """Make ``spark.readStream.format("eventhubs")`` known to a session."""
    spark.dataSource.register(EventHubsSource)


def read_eventhubs(spark: SparkSession, settings: SourceSettings) -> DataFrame:
    """Stream the events of both hubs over AMQP.

    Args:
        spark: the session that the query will run in.
        settings: the hubs, the limit of a micro-batch, and how Event Hubs is reached. The variable or file of the
            connection string must be there on the driver before the session starts, and on every executor.

    Returns:
        a streaming frame ``hub string, partition string, offset bigint, enqueued_time timestamp, body binary``; the
        offset is the event's sequence number.
    """
    register(spark)
    access = settings.eventhubs
    secret = access.connection_string
    reader = (
        spark.readStream.format(FORMAT)
        .option("hubs", f"{settings.predictions_hub},{settings.feedback_hub}")
        .option("consumerGroup", access.consumer_group)
        .option("maxRowsPerTrigger", settings.max_events_per_trigger)
        .option("startingPosition", access.starting_position)
        .option("failOnDataLoss", access.fail_on_data_loss)
        .option("receiveTimeoutSeconds", access.receive_timeout_seconds)
        .option("tasks", spark.sparkContext.defaultParallelism)
    )
    if access.namespace:
        return reader.option("namespace", access.namespace).load()
    if secret.env is not None:
        return reader.option("connectionStringEnv", secret.env).load()
    return reader.option("connectionStringFile", str(secret.file)).load()


class EventHubsSource(DataSource):
    """The data source ``eventhubs``.

    Options: ``hubs`` (comma-separated), ``connectionStringEnv``, ``connectionStringFile`` or ``namespace`` (its host,
    to ask as an identity of Entra), ``consumerGroup`` (``$Default``), ``maxRowsPerTrigger`` (20000),
    ``startingPosition`` of a new checkpoint (``earliest`` or ``latest``), ``failOnDataLoss`` (true),
    ``receiveTimeoutSeconds`` (60), ``tasks`` (how many tasks share the partitions; 2).
    """

    @classmethod
    def name(cls) -> str:
        """What ``format()`` takes."""
        return FORMAT

    def schema(self) -> str:
        """The columns."""
        return SCHEMA

    def streamReader(self, schema: "StructType") -> "EventHubsStreamReader":  # noqa: N802
        """The reader of one query.

        Raises:
            SettingsError: if an option is missing or makes no sense.
        """
        del schema
        return EventHubsStreamReader(self.options)


class _Ranges(InputPartition):
    """The work of one task."""

    def __init__(self, ranges: tuple[HubRange, ...]) -> None:
        self.ranges = ranges


class EventHubsStreamReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Plans micro-batches in one long-lived process beside the driver, and reads them in the tasks.

    Args:
        options: as :class:`EventHubsSource` says.
    """

    def __init__(self, options: MutableMapping[str, str]) -> None:
        self._hubs = [name.strip() for name in options.get("hubs", "").split(",") if name.strip()]
        if not self._hubs:
            msg = "the source 'eventhubs' needs the option 'hubs', the names of the hubs with commas between"
            raise SettingsError(msg)
        self._access = _access(options)
        self._max_rows = _positive(options, "maxRowsPerTrigger", 20_000)
        self._tasks = _positive(options, "tasks", 2)
        self._starting = options.get("startingPosition", "earliest")
        if self._starting not in _POSITIONS:
            msg = f"the option 'startingPosition' of 'eventhubs' is {self._starting!r}; it can be one of {_POSITIONS}"
            raise SettingsError(msg)
        self._ids: dict[str, list[str]] = {}
        self._states: dict[str, PartitionState] = {}
        self._is_frozen = False

    def initialOffset(self) -> Positions:  # noqa: N802
        """Where a new checkpoint starts."""
        states = self._refresh()
        earliest = self._starting == "earliest"
        return {name: state.begin if earliest else state.end for name, state in sorted(states.items())}

    def latestOffset(  # noqa: N802
        self, start: Mapping[str, int] | None = None, limit: "ReadLimit | None" = None
    ) -> Positions:
        """Where the next micro-batch ends. Spark 4.1 gives neither argument."""
        states = self._states if self._is_frozen else self._refresh()
        if start is None:
            return next_positions({name: state.end for name, state in states.items()}, states)
        return next_positions(start, states, getattr(limit, "max_rows", None))

    def getDefaultReadLimit(self) -> "ReadLimit":  # noqa: N802
        """At most ``maxRowsPerTrigger`` events."""
        from pyspark.sql.streaming.datasource import ReadMaxRows

        return ReadMaxRows(self._max_rows)

    def reportLatestOffset(self) -> Positions | None:  # noqa: N802
        """How far the hubs reach, as they were last asked: Spark's progress shows it beside what was read."""
        return {name: state.end for name, state in sorted(self._states.items())} or None

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802
        """Freeze the end of the stream."""
        self._refresh()
        self._is_frozen = True

    def partitions(self, start: Mapping[str, int], end: Mapping[str, int]) -> Sequence[InputPartition]:
        """The tasks of a micro-batch."""
        new = [name for name in end if name not in start]
        states = (self._states or self._refresh()) if new else {}
        known = {**start, **{name: states[name].begin for name in new}}
        return [_Ranges(ranges) for ranges in deal(ranges_between(known, end), self._tasks)]

    def read(self, partition: InputPartition) -> Iterator[Row]:
        """The rows of a task.

        Raises:
            OutsideError: if events are gone, or the hub does not answer.
        """
        ranges: tuple[HubRange, ...] = getattr(partition, "ranges", ())
        return eventhubs_receive.receive(self._access, ranges)

    def commit(self, end: Mapping[str, int]) -> None:
        """Spark's checkpoint holds the positions: there is nothing to do."""

    def stop(self) -> None:
        """Nothing is kept open."""

    def _refresh(self) -> dict[str, PartitionState]:
        self._states = eventhubs_client.partition_states(self._access, self._hubs, self._ids)
        return self._states


def _access(options: Mapping[str, str]) -> HubAccess:
    if "connectionString" in options:
        msg = (
            "the source 'eventhubs' takes no connection string, since options show up in plans; name the variable or"
            " the file that holds it by 'connectionStringEnv' or 'connectionStringFile'"
        )
        raise SettingsError(msg)
    env, file = options.get("connectionStringEnv"), options.get("connectionStringFile")
    namespace = options.get("namespace")
    if [env, file, namespace].count(None) != 2:
        names = "'connectionStringEnv', 'connectionStringFile' and 'namespace'"
        msg = f"the source 'eventhubs' needs exactly one of the options {names}"
        raise SettingsError(msg)
    return HubAccess(
        None if namespace else SecretRef(env=env, file=file),
        options.get("consumerGroup", "$Default"),
        float(_positive(options, "receiveTimeoutSeconds", 60)),
        options.get("failOnDataLoss", "true").lower() != "false",
        namespace or "",
    )


def _positive(options: Mapping[str, Any], name: str, default: int) -> int:
    text = str(options.get(name, default))
    if not text.isdecimal() or int(text) < 1:
        msg = f"the option {name!r} of the source 'eventhubs' is {text!r}; it must be a whole number of 1 or more"
        raise SettingsError(msg)
    return int(text)
