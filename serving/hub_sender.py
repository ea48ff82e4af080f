"""Send events to Event Hubs by the ``azure-eventhub`` SDK. Edge.

Events carry no partition key: the hub deals batches out to its partitions in turn, which keeps them equally full; the
stream counts in windows and blocks over all partitions, so their order across partitions does not matter.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from azure.core.exceptions import AzureError
from azure.eventhub import EventData, EventDataBatch, EventHubProducerClient
from azure.eventhub.exceptions import EventHubError

from pegel.conf.secret_ref import SecretRef
from pegel.errors import OutsideError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10

_PATIENCE: dict[str, Any] = {"retry_total": 0, "auth_timeout": TIMEOUT_SECONDS, "send_timeout": TIMEOUT_SECONDS}


class HubSender:
    """Sends to one hub; connects when there is something to send, and anew after a failure.

    The SDK's own retries are off: they would hold the thread for minutes, and the producer waits by itself.

    Args:
        connection_string: of the namespace; read at each connection.
        hub: the hub's name.
        namespace: the namespace's host; if it is given, Entra says who sends, and there is no connection string.
        on_too_large: is told the position of an event that is larger than the hub takes, and is left out.
    """

    def __init__(
        self,
        connection_string: SecretRef,
        hub: str,
        namespace: str = "",
        on_too_large: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._connection_string = connection_string
        self._hub = hub
        self._namespace = namespace
        self._on_too_large = on_too_large
        self._client: EventHubProducerClient | None = None

    def __call__(self, bodies: Sequence[bytes]) -> None:
        """Send events in order, in as few batches as they fit into.

        Raises:
            OutsideError: if the hub did not take all of them; some may have arrived.
        """
        try:
            client = self._connected()
            batch = client.create_batch()
            for position, body in enumerate(bodies):
                batch = self._added(client, batch, body, position)
            if len(batch):
                client.send_batch(batch)
        except (EventHubError, AzureError, OSError, ValueError) as error:
            self.close()
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            msg = f"the hub {self._hub!r} did not take {len(bodies)} events: {first}; check that it is up"
            raise OutsideError(msg) from error

    def close(self) -> None:
        """Close the connection; a later call opens another one."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(EventHubError, OSError):
                client.close()

    def _connected(self) -> EventHubProducerClient:
        if self._client is None:
            self._client = self._entra_client() if self._namespace else self._key_client()
        return self._client

    def _key_client(self) -> EventHubProducerClient:
        return EventHubProducerClient.from_connection_string(
            self._connection_string.read(), eventhub_name=self._hub, **_PATIENCE
        )

    def _entra_client(self) -> EventHubProducerClient:
        from azure.identity import DefaultAzureCredential

        return EventHubProducerClient(self._namespace, self._hub, DefaultAzureCredential(), **_PATIENCE)

    def _added(
        self, client: EventHubProducerClient, batch: EventDataBatch, body: bytes, position: int
    ) -> EventDataBatch:
        try:
            batch.add(EventData(body))
        except ValueError:
            if not len(batch):
                # Trying for ever would hold all others back; the limits of /predict are far below the hub's.
                log.error("an event of %d bytes is larger than the hub %r takes, and is dropped", len(body), self._hub)
                self._on_too_large(position)
                return batch
            client.send_batch(batch)
            return self._added(client, client.create_batch(), body, position)
        return batch
