"""What the demo can let go wrong, and how each of it must end. Pure."""

from collections.abc import Sequence
from datetime import datetime

from pegel.local.azure_monitor.action_group import RETRY_SECONDS, WebhookCall

JOBS_REFUSED = "jobs-refused"
"""The job service refuses every call: nothing is retrained, and the loop must not close."""
WEBHOOK_DOWN = "webhook-down"
"""The webhook starts only when the action group has given up calling it: the reconciler must close the loop."""
BAD_CHALLENGER = "bad-challenger"
"""From when the challenger serves, users say that its answers are wrong: it must be rolled back."""

FLAPPING = "flapping"
"""The drift comes and goes: it must make one retraining."""

DATA_FAULT = "data-fault"
"""Instead of the drift an app leaves fields out of what it records: its owner is called, and nothing is retrained."""
HARMLESS_SHIFT = "harmless-shift"
"""Instead of the drift users ask the longer ones of their usual queries: nothing is retrained."""

FAULTS = (JOBS_REFUSED, WEBHOOK_DOWN, BAD_CHALLENGER, FLAPPING, DATA_FAULT, HARMLESS_SHIFT)
UNRETRAINED = (DATA_FAULT, HARMLESS_SHIFT)
"""Those that must end without a retraining."""

FLAP_SECONDS = 40.0


def has_drifted(onset: datetime, now: datetime) -> bool:
    """Whether flapping traffic, which began to drift at the onset, drifts at this time."""
    return (now - onset).total_seconds() // FLAP_SECONDS % 2 == 0


def has_given_up(calls: Sequence[WebhookCall]) -> bool:
    """Whether the action group has called in vain as often as it ever tries for one alert."""
    return any(call.attempt > len(RETRY_SECONDS) and call.status is None for call in calls)
