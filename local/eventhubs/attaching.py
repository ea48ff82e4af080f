"""Which link an attach asks for, and whether it may be had. Edge: a receiver joins its consumer group here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from pegel.local.eventhubs import conditions, message
from pegel.local.eventhubs.codec import Described
from pegel.local.eventhubs.conditions import RefusedError
from pegel.local.eventhubs.frames import Attach
from pegel.local.eventhubs.hubs import Hub, Namespace, Partition
from pegel.local.eventhubs.links import Channel, Inbound, Link, Replies, Subscriber
from pegel.local.eventhubs.log import PartitionLog

NODES = ("$cbs", "$management")

_SEND = re.compile(r"(?P<hub>[^/]+)(/partitions/(?P<partition>[^/]+))?", re.IGNORECASE)
_RECEIVE = re.compile(r"(?P<hub>[^/]+)/consumergroups/(?P<group>[^/]+)/partitions/(?P<partition>[^/]+)", re.IGNORECASE)
_SELECTOR = re.compile(
    r"\s*amqp\.annotation\.x-opt-(?P<field>offset|sequence-number|enqueued-time)\s*(?P<sign>>=?)\s*'(?P<value>[^']*)'\s*"
)
_SELECTOR_NAME = "apache.org:selector-filter:string"
_EPOCH = "com.microsoft:epoch"
_RUNTIME_METRIC = "com.microsoft:enable-receiver-runtime-metric"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who attaches: the namespace it sees, what it may use, and where requests of its node links go."""

    namespace: Namespace
    may_use: Callable[[str], bool]
    request: Callable[[str, bytes], None]


def open_link(attach: Attach, channel: Channel, asker: Asker) -> Link:
    """The link that an attach asks for.

    Raises:
        RefusedError: if it may not be had.
    """
    handle = attach.handle or 0
    path = _path(attach.source if attach.role else attach.target)
    if path in NODES:
        if attach.role:
            return Replies(channel, handle)
        return Inbound(channel, handle, lambda _, body: asker.request(path, body))
    match = (_RECEIVE if attach.role else _SEND).fullmatch(path)
    if match is None:
        raise RefusedError(conditions.NOT_FOUND, "The address names no hub, and no partition of a consumer group.")
    if not asker.may_use(path):
        raise RefusedError(conditions.UNAUTHORIZED, "No token that covers this address was put on $cbs.")
    hub = asker.namespace.hub(match["hub"])
    if attach.role:
        return _subscriber(attach, channel, asker.namespace, hub, match)
    publisher = Publisher(hub, match["partition"])
    return Inbound(channel, handle, publisher.publish)


class Publisher:
    """Takes events for a hub, or for one partition of it."""

    def __init__(self, hub: Hub, partition: str | None) -> None:
        self._hub = hub
        self._partition: Partition | None = None if partition is None else hub.partition(partition)

    def publish(self, message_format: int, payload: bytes) -> None:
        """Write an event or a batch; all of a batch goes to one partition.

        Raises:
            RefusedError: if the disk does.
            MalformedError: if it is no event.
        """
        key = message.partition_key(payload)
        events = message.split_batch(payload) if message_format == message.BATCH_FORMAT else [payload]
        partition = self._partition or self._hub.route(key)
        try:
            partition.append(events, key)
        except OSError as error:
            raise RefusedError(conditions.INTERNAL, f"The log cannot be written: {error.strerror}.") from error


def _path(terminus: Any) -> str:
    """The path of a source or target; its address is a whole URL, or the path alone."""
    fields = terminus.value if isinstance(terminus, Described) else None
    address = fields[0] if isinstance(fields, list) and fields else None
    if not isinstance(address, str):
        raise RefusedError(conditions.NOT_FOUND, "The address is missing.")
    return unquote(urlsplit(address).path if "://" in address else address).strip("/")


def _subscriber(attach: Attach, channel: Channel, namespace: Namespace, hub: Hub, match: "re.Match[str]") -> Subscriber:
    group = namespace.group(hub, match["group"])
    partition = hub.partition(match["partition"])
    properties = attach.properties if isinstance(attach.properties, dict) else {}
    epoch = properties.get(_EPOCH)
    if epoch is not None and (not isinstance(epoch, int) or epoch < 0):
        raise RefusedError(conditions.ARGUMENT, "The epoch must be a whole number, zero or more.")
    wanted = attach.desired_capabilities
    tracks = _RUNTIME_METRIC in (wanted if isinstance(wanted, list) else [wanted])
    start = _start(attach.source.value, partition.log)
    link = Subscriber(channel, attach.handle or 0, partition, start=start, epoch=epoch, tracks=tracks)
    link.join(group, int(match["partition"]))
    return link


def _start(source: list[Any], log: PartitionLog) -> int:
    """The first sequence number that the source's filter selects; without a filter the oldest."""
    filters = source[7] if len(source) > 7 else None
    filters = filters.value if isinstance(filters, Described) else filters
    selector = filters.get(_SELECTOR_NAME) if isinstance(filters, dict) else None
    if selector is None:
        return 0
    text = selector.value if isinstance(selector, Described) else selector
    text = text.decode() if isinstance(text, bytes) else text
    match = _SELECTOR.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise RefusedError(conditions.ARGUMENT, "The filter is not one that Event Hubs knows.")
    inclusive = match["sign"] == ">="
    if match["field"] == "offset" and match["value"] == "@latest":
        return max(0, log.end - 1) if inclusive else log.end
    try:
        value = int(match["value"])
    except ValueError:
        raise RefusedError(conditions.ARGUMENT, "The filter compares with something that is no number.") from None
    if match["field"] == "offset":
        return log.at_offset(value, inclusive=inclusive)
    if match["field"] == "enqueued-time":
        return log.at_time(value, inclusive=inclusive)
    return min(max(value if inclusive else value + 1, 0), log.end)
