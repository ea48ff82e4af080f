"""Where events come from: Event Hubs over AMQP, its Kafka endpoint, or files."""

from pegel.streaming.sources.read import read_events

__all__ = ["read_events"]
