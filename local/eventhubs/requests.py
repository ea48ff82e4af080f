"""The answers of ``$cbs`` and ``$management``. Pure but for the clock of the authority.

Empty partitions answer -1 for first and last sequence number; what the service itself answers there is not known here.
"""

from pegel.local.eventhubs import codec, conditions, message
from pegel.local.eventhubs.cbs import SAS_TYPE, Authority, Grant
from pegel.local.eventhubs.conditions import RefusedError
from pegel.local.eventhubs.hubs import Hub, Namespace
from pegel.local.eventhubs.message import Request

_STATUS = {conditions.UNAUTHORIZED: 401, conditions.NOT_FOUND: 404}
_HUB, _PARTITION = "com.microsoft:eventhub", "com.microsoft:partition"


def put_token(request: Request, authority: Authority) -> tuple[bytes, Grant | None]:
    """The answer to a token, and what the token grants."""
    try:
        if request.properties.get("operation") != "put-token":
            raise RefusedError(conditions.ARGUMENT, "put-token is the only operation.")
        if request.properties.get("type") != SAS_TYPE:
            raise RefusedError(conditions.UNAUTHORIZED, f"Tokens of the type {SAS_TYPE} only are taken here.")
        grant = authority.verify(request.body)
    except RefusedError as refusal:
        return _refused(request, refusal), None
    return message.response(request, 202, "Accepted"), grant


def manage(request: Request, namespace: Namespace, authority: Authority) -> bytes:
    """The answer to a question about a hub or a partition.

    The request carries its own token, which must cover the hub.
    """
    name = str(request.properties.get("name"))
    try:
        grant = authority.verify(request.properties.get("security_token"))
        if not grant.covers(name, authority.clock()):
            raise RefusedError(conditions.UNAUTHORIZED, "The token does not cover this hub.")
        if request.properties.get("operation") != "READ":
            raise RefusedError(conditions.ARGUMENT, "READ is the only operation.")
        hub = namespace.hub(name)
        kind = request.properties.get("type")
        if kind == _HUB:
            body = _hub_properties(hub)
        elif kind == _PARTITION:
            body = _partition_properties(hub, str(request.properties.get("partition")))
        else:
            raise RefusedError(conditions.ARGUMENT, f"The types are {_HUB} and {_PARTITION}.")
    except RefusedError as refusal:
        return _refused(request, refusal)
    return message.response(request, 200, "OK", body)


def _refused(request: Request, refusal: RefusedError) -> bytes:
    return message.response(request, _STATUS.get(refusal.condition, 400), refusal.description)


def _hub_properties(hub: Hub) -> bytes:
    ids = [str(number) for number in range(len(hub.partitions))]
    return codec.mapping(
        [
            (codec.string("name"), codec.string(hub.name)),
            (codec.string("type"), codec.string(_HUB)),
            (codec.string("created_at"), codec.timestamp(hub.created_ms)),
            (codec.string("partition_count"), codec.int32(len(ids))),
            (codec.string("partition_ids"), codec.strings(ids)),
        ]
    )


def _partition_properties(hub: Hub, number: str) -> bytes:
    log = hub.partition(number).log
    last = log.last
    return codec.mapping(
        [
            (codec.string("name"), codec.string(hub.name)),
            (codec.string("type"), codec.string(_PARTITION)),
            (codec.string("partition"), codec.string(number)),
            (codec.string("begin_sequence_number"), codec.long(-1 if last is None else log.begin)),
            (codec.string("last_enqueued_sequence_number"), codec.long(-1 if last is None else last.sequence)),
            (codec.string("last_enqueued_offset"), codec.string("-1" if last is None else last.offset)),
            (codec.string("last_enqueued_time_utc"), codec.timestamp(0 if last is None else last.enqueued_ms)),
            (codec.string("is_partition_empty"), codec.boolean(log.is_empty)),
        ]
    )
