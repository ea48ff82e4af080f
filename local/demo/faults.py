"""What the demo can let go wrong, and how each of it must end. Pure."""

from collections.abc import Sequence

from pegel.local.azure_monitor.action_group import RETRY_SECONDS, WebhookCall

JOBS_REFUSED = "jobs-refused"
"""The job service refuses every call: nothing is retrained, and the loop must not close."""
WEBHOOK_DOWN = "webhook-down"
"""The webhook starts only when the action group has given up calling it: the reconciler must close the loop."""
BAD_CHALLENGER = "bad-challenger"
"""From when the challenger serves, users say that its answers are wrong: it must be rolled back."""

FAULTS = (JOBS_REFUSED, WEBHOOK_DOWN, BAD_CHALLENGER)


def has_given_up(calls: Sequence[WebhookCall]) -> bool:
    """Whether the action group has called in vain as often as it ever tries for one alert."""
    return any(call.attempt > len(RETRY_SECONDS) and call.status is None for call in calls)
