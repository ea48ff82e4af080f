"""What an error of the Event Hubs SDK means: whether it may pass by itself, and what is to be done about it. Pure.

The SDK's own text stays out of what is said: it is long, and what a service puts into it is not ours to vouch for.
"""

_BUSY = "all five receivers without an epoch that a partition allows to the consumer group {group!r} are taken"
_OWN_GROUP = "give this reader a consumer group of its own (consumerGroup, source.eventhubs.consumer_group)"

# The conditions of AMQP and of Event Hubs, without the part up to their first colon, as the SDK gives them.
_OF_RECEIVERS = {
    "not-found": "the hub has no consumer group {group!r}; make it, or name another (consumerGroup,"
    " source.eventhubs.consumer_group)",
    "link:stolen": f"another receiver, which asked for an epoch, has the partition in the consumer group {{group!r}};"
    f" {_OWN_GROUP}",
    "resource-limit-exceeded": f"{_BUSY}; {_OWN_GROUP}",
    "unauthorized-access": "the key may not listen here; check its rights",
}
_OF_QUESTIONS = {
    "not-found": "there is no such hub; make it, or mend its name",
    "unauthorized-access": "the key may not listen here; check its rights",
}
_NEVER_PASSES = frozenset(
    ("not-found", "link:stolen", "unauthorized-access", "argument-error", "argument-out-of-range", "not-allowed")
)


def is_final(error: Exception) -> bool:
    """Whether asking again cannot help: whoever asks is refused, and not just kept waiting or cut off.

    Five receivers at a partition are no final refusal, since a receiver that was closed is there for a moment yet.
    """
    return _is_about_the_key(error) or _condition(error) in _NEVER_PASSES or not _is_of_the_sdk(error)


def explain(name: str, group: str | None, error: Exception) -> str:
    """One sentence about an error.

    Args:
        name: of the hub or, as ``hub/partition``, of what was received.
        group: the consumer group; None if a question about the hub failed, which no group has a part in.
        error: of the SDK. Its type and condition are named, and its text is not.

    Example:
        >>> explain("orders/0", "audit", ValueError("a secret"))
        'Event Hubs refused or did not answer for orders/0 (ValueError); check that it can be reached, then start again'
    """
    condition = _condition(error)
    meanings = _OF_QUESTIONS if group is None else _OF_RECEIVERS
    if _is_about_the_key(error):
        what = "check the key and its rights"
    else:
        what = meanings.get(condition, "check that it can be reached").format(group=group)
    kind = f"{type(error).__name__}, {condition}" if condition in meanings else type(error).__name__
    return f"Event Hubs refused or did not answer for {name} ({kind}); {what}, then start again"


def _condition(error: Exception) -> str:
    return str(getattr(error, "error", None) or "")


def _is_about_the_key(error: Exception) -> bool:
    return "Authentication" in type(error).__name__


def _is_of_the_sdk(error: Exception) -> bool:
    from azure.core.exceptions import AzureError
    from azure.eventhub.exceptions import EventHubError

    return isinstance(error, (EventHubError, AzureError, OSError))
