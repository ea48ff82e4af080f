"""How a requeue reaches the hubs: the sender of serving, and the receiver of the stream. Wiring."""

from collections.abc import Collection, Iterable, Sequence

from pegel.conf.settings import EventHubsSettings, SourceSettings
from pegel.errors import SettingsError
from pegel.schemas.dead_letters import Place
from pegel.serving.hub_sender import HubSender
from pegel.tables.requeue import Reread


class HubSenders:
    """A sender for each hub that something is sent to.

    Args:
        settings: the namespace; also that of a stream that reads over Kafka.
    """

    def __init__(self, settings: EventHubsSettings) -> None:
        self._settings = settings
        self._senders: dict[str, HubSender] = {}
        self._too_large: list[int] = []

    def __call__(self, hub: str, bodies: Sequence[bytes]) -> Collection[int]:
        """Send bodies in order; gives the positions of those that the hub does not take, being too large.

        Raises:
            OutsideError: if the hub did not take all of them; some may have arrived.
            SettingsError: if the connection string is missing.
        """
        if hub not in self._senders:
            reach = self._settings
            self._senders[hub] = HubSender(reach.connection_string, hub, reach.namespace, self._too_large.append)
        self._too_large.clear()
        self._senders[hub](bodies)
        return tuple(self._too_large)

    def close(self) -> None:
        """Close all connections."""
        for sender in self._senders.values():
            sender.close()


def build_reread(settings: SourceSettings) -> Reread:
    """What reads single events from the hubs again, by AMQP, also where the stream reads over Kafka.

    Raises:
        SettingsError: by what is returned, if events come from files, which no hub holds, or pyspark is missing.
    """

    def read_again(places: Collection[Place]) -> Iterable[tuple[Place, bytes]]:
        if settings.kind == "files":
            msg = "source.kind is 'files', so no hub holds these events; requeue those whose body is stored"
            raise SettingsError(msg)
        try:
            from pegel.streaming.sources.eventhubs_client import access_of
            from pegel.streaming.sources.eventhubs_reread import reread
        except ImportError as error:
            msg = f"reading a hub needs {error.name}, which is not installed; install pegel[spark]"
            raise SettingsError(msg) from error
        return reread(access_of(settings.eventhubs), places)

    return read_again
