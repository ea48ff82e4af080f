"""A server beside code that has no event loop: the demo and the tests. Edge."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pegel.local.eventhubs.server import EventHubsServer


@contextmanager
def serve_in_thread(server: EventHubsServer) -> Iterator[EventHubsServer]:
    """Run a server in a thread of its own for as long as the block runs.

    Raises:
        OutsideError: if it cannot start.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local-eventhubs", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
