"""How the Event Hubs source reaches the service by the real SDK, and how far its partitions reach. Edge.

The connection string is read from its reference where it is used, and is in no message that leaves this module.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import EventHubsSettings
from pegel.errors import OutsideError
from pegel.streaming.sources.eventhubs_failures import explain, is_final
from pegel.streaming.sources.eventhubs_offsets import PartitionState

if TYPE_CHECKING:
    from azure.eventhub import EventHubConsumerClient

LOG = logging.getLogger(__name__)

_MAX_THREADS = 32
_LONGEST_PAUSE_SECONDS = 8.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How to reach the namespace. It travels to executors, so it holds a reference and never the secret.

    Args:
        secret: where the connection string lies, on the driver and on every executor; not read if there is a namespace.
        group: the consumer group.
        timeout_seconds: a receiver that gets nothing for so long fails, and so does a question without an answer.
        fail_on_data_loss: whether events that are gone before they were read are an error, else a warning.
        namespace: the namespace's host; if it is given, Entra says who asks (``DefaultAzureCredential``).
    """

    secret: SecretRef | None
    group: str
    timeout_seconds: float
    fail_on_data_loss: bool
    namespace: str = ""

    def client(self, hub: str) -> "EventHubConsumerClient":
        """A client for one hub.

        Raises:
            SettingsError: if the connection string is missing.
            OutsideError: if it is malformed.
        """
        from azure.eventhub import EventHubConsumerClient

        # The interval is how long the SDK's helper thread outlives a receiver. Its own retries would hide a refusal
        # for minutes: with them, it asks again and again for a consumer group that is not there, and tells nobody.
        patience: dict[str, Any] = {"load_balancing_interval": 5, "retry_total": 0}
        if self.namespace or self.secret is None:
            from azure.identity import DefaultAzureCredential

            return EventHubConsumerClient(self.namespace, hub, self.group, DefaultAzureCredential(), **patience)
        text = self.secret.read()
        try:
            return EventHubConsumerClient.from_connection_string(text, self.group, eventhub_name=hub, **patience)
        except ValueError:
            where = self.secret.env or self.secret.file
            msg = f"the connection string in {where}, for the hub {hub!r}, is malformed; copy it again from the portal"
            raise OutsideError(msg) from None


def access_of(settings: EventHubsSettings) -> HubAccess:
    """How to reach the namespace of the settings."""
    return HubAccess(
        None if settings.namespace else settings.connection_string,
        settings.consumer_group,
        float(settings.receive_timeout_seconds),
        settings.fail_on_data_loss,
        settings.namespace,
    )


def partition_states(access: HubAccess, hubs: Sequence[str], known: dict[str, list[str]]) -> dict[str, PartitionState]:
    """What every partition holds, asked in parallel: one question takes about 0.4 s, most of it the SDK's waiting.

    Args:
        access: the namespace.
        hubs: their names.
        known: the partition ids of each hub, filled here, so that they are asked for once.

    Raises:
        OutsideError: if a hub cannot be asked.
    """
    with ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="eventhubs") as pool:
        missing = [hub for hub in hubs if hub not in known]
        known.update(zip(missing, pool.map(lambda hub: _partition_ids(access, hub), missing), strict=True))
        pairs = [(hub, number) for hub in hubs for number in known[hub]]
        states = pool.map(lambda pair: partition_state(access, *pair), pairs)
        return {f"{hub}/{number}": state for (hub, number), state in zip(pairs, states, strict=True)}


def partition_state(access: HubAccess, hub: str, partition: str) -> PartitionState:
    """What one partition holds.

    Raises:
        OutsideError: if it cannot be asked.
    """
    found = _ask(access, hub, lambda client: client.get_partition_properties(partition))
    end = int(found["last_enqueued_sequence_number"]) + 1
    return PartitionState(end if found["is_empty"] else int(found["beginning_sequence_number"]), end)


def _partition_ids(access: HubAccess, hub: str) -> list[str]:
    return _ask(access, hub, lambda client: [str(number) for number in client.get_partition_ids()])


def _ask(access: HubAccess, hub: str, question: "Callable[[EventHubConsumerClient], _T]") -> _T:
    """Ask until there is an answer, a refusal, or no patience any more."""
    from azure.core.exceptions import AzureError
    from azure.eventhub.exceptions import EventHubError

    deadline, pause = time.monotonic() + access.timeout_seconds, 0.5
    while True:
        try:
            with access.client(hub) as client:
                return question(client)
        except (EventHubError, AzureError) as error:
            if is_final(error) or time.monotonic() + pause > deadline:
                raise OutsideError(explain(hub, None, error)) from None
            LOG.warning("%s does not answer (%s); it is asked again", hub, type(error).__name__)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
