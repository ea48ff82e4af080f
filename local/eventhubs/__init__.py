"""A local Event Hubs: the AMQP 1.0 protocol, durable partitions, consumer groups, epochs and access rules.

It is for one machine: it listens on loopback only, and its data are as safe as the operating system's page cache.
"""

from pegel.local.eventhubs.background import serve_in_thread
from pegel.local.eventhubs.server import EventHubsServer

__all__ = ["EventHubsServer", "serve_in_thread"]
