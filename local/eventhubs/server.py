"""The local Event Hubs: a namespace of durable hubs on loopback that speaks AMQP 1.0 to the real SDK. Edge."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pegel.errors import OutsideError
from pegel.local.eventhubs import conditions
from pegel.local.eventhubs.cbs import Authority
from pegel.local.eventhubs.connection import Connection
from pegel.local.eventhubs.hubs import Namespace

HOST = "127.0.0.1"
DEFAULT_PORT = 5672
_GRACE_SECONDS = 1.0
EMULATOR_KEY_NAME = "RootManageSharedAccessKey"
EMULATOR_KEY = "SAS_KEY_VALUE"
"""The official emulator's key. It is public, and protects nothing."""


class EventHubsServer:
    """A local Event Hubs namespace.

    Events that were acknowledged survive the death of the process by any signal, not a power cut: they are written to
    the operating system before the acknowledgement, and not synced.

    Args:
        hubs: the number of partitions (1 to 32) of each hub by its name.
        data: the folder of the logs; made if it is not there. One server at a time may use it.
        port: where to listen on 127.0.0.1; 0 picks a free one.
        key_name: the name of the one access rule.
        key: its key.
        consumer_groups: groups of every hub beside ``$Default``; others are refused.
    """

    def __init__(
        self,
        hubs: Mapping[str, int],
        data: Path,
        port: int = 0,
        *,
        key_name: str = EMULATOR_KEY_NAME,
        key: str = EMULATOR_KEY,
        consumer_groups: Iterable[str] = (),
    ) -> None:
        self._hubs = dict(hubs)
        self._data = data
        self._key_name = key_name
        self._key = key
        self._groups = tuple(consumer_groups)
        self._namespace: Namespace | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._lock: int | None = None
        self.port = port

    @property
    def connection_string(self) -> str:
        """What a client needs, key included; the flag is the official emulator's and turns TLS off."""
        return connection_string(self.port, self._key_name, self._key)

    async def start(self) -> None:
        """Open the logs and listen.

        Raises:
            SettingsError: if a hub's name or number of partitions is not allowed.
            OutsideError: if the port is taken, or the folder cannot be used or another server uses it.
        """
        self._lock = _lock(self._data)
        try:
            self._namespace = namespace = Namespace(self._hubs, self._data, self._groups)
            authority = Authority(self._key_name, self._key)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Connection(namespace, authority, self._connections), HOST, self.port
            )
        except OSError as error:
            await self.stop()
            raise OutsideError(_explain(error, self.port, self._data)) from error
        except BaseException:
            await self.stop()
            raise
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the connections, then the logs. Stopping twice is no error."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.fail(conditions.FORCED, "The server stops.")
        deadline = asyncio.get_running_loop().time() + _GRACE_SECONDS
        while self._connections:
            # A connection leaves the set when its transport has flushed, which needs a client that reads.
            if asyncio.get_running_loop().time() > deadline:
                for connection in tuple(self._connections):
                    connection.abort()
            await asyncio.sleep(0.01)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def expire(self, hub: str, partition: str, before: int) -> None:
        """Let the events of a partition with sequence numbers below ``before`` go, as retention does."""
        if self._namespace is None:
            msg = "the server is not running, so no event can expire; start it first"
            raise OutsideError(msg)
        self._namespace.hub(hub).partition(partition).log.expire(before)


def connection_string(port: int, key_name: str, key: str) -> str:
    """The connection string of a local namespace."""
    return (
        f"Endpoint=sb://{HOST}:{port};SharedAccessKeyName={key_name};SharedAccessKey={key};UseDevelopmentEmulator=true;"
    )


def _lock(data: Path) -> int:
    """Keep other servers out of the folder; the lock ends with the process, however that dies."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        msg = f"the folder {data} cannot hold the hubs: {error.strerror}; choose another with --data"
        raise OutsideError(msg) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        msg = f"another Event Hubs already uses the folder {data}; stop it, or choose another with --data"
        raise OutsideError(msg) from error
    return descriptor


def _explain(error: OSError, port: int, data: Path) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port {port} on {HOST} is taken by another program; stop it, or choose another with --port"
    if error.errno in (errno.EACCES, errno.EPERM) and error.filename is None:
        return f"the port {port} on {HOST} is not allowed for this user; choose one above 1023 with --port"
    return f"the hubs in {data} cannot be opened: {error.strerror}; check the folder, or choose another with --data"
