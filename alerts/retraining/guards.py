"""What holds a retraining back: one at a time for each model, a pause after each, so many a day. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pegel.schemas.state_machines import RETRAINING, RetrainingState

DAY = timedelta(days=1)
STARTED = RetrainingState.STARTED
ENDED = RETRAINING.ends
"""The first state of a retraining, and those in which it ends, as the table ``retrainings`` has them."""


@dataclass(frozen=True, slots=True)
class Guards:
    """The bounds, for each model.

    Attributes:
        cooldown: after a retraining has ended, the next may start so much later.
        daily_cap: how many may start within 24 hours.
        run_limit: a run that has not ended for so long counts as dead, so that it holds nothing back for ever.
    """

    cooldown: timedelta
    daily_cap: int
    run_limit: timedelta


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a retraining may not start yet, in words that stay the same while it waits, and until when at most."""

    reason: str
    until: datetime


def hold(starts: Mapping[str, datetime], ends: Mapping[str, datetime], now: datetime, guards: Guards) -> Hold | None:
    """What holds the next retraining of a model back, the longest first; None if it may start.

    Args:
        starts: incident -> when its retraining started, of this model.
        ends: incident -> when its retraining ended; those that go on are left out.
        now: aware UTC.
        guards: the bounds.

    Example:
        >>> from datetime import UTC
        >>> at = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
        >>> bounds = Guards(timedelta(hours=6), 3, timedelta(hours=6))
        >>> hold({"a": at}, {}, at + timedelta(hours=1), bounds).reason
        'the retraining of incident a has not ended'
        >>> hold({"a": at}, {"a": at + timedelta(hours=1)}, at + timedelta(hours=7), bounds) is None
        True
    """
    found = [*_running(starts, ends, now, guards), *_resting(ends, now, guards), *_spent(starts, now, guards)]
    return max(found, key=lambda one: one.until, default=None)


def _running(
    starts: Mapping[str, datetime], ends: Mapping[str, datetime], now: datetime, guards: Guards
) -> Iterable[Hold]:
    for incident, at in starts.items():
        if incident not in ends and now < at + guards.run_limit:
            yield Hold(f"the retraining of incident {incident} has not ended", at + guards.run_limit)


def _resting(ends: Mapping[str, datetime], now: datetime, guards: Guards) -> Iterable[Hold]:
    incident = max(ends, key=lambda one: ends[one], default=None)
    if incident is not None and now < ends[incident] + guards.cooldown:
        until = ends[incident] + guards.cooldown
        yield Hold(f"that of incident {incident} has ended and the cooldown lasts until {until.isoformat()}", until)


def _spent(starts: Mapping[str, datetime], now: datetime, guards: Guards) -> Iterable[Hold]:
    newest = sorted((at for at in starts.values() if now < at + DAY), reverse=True)[: guards.daily_cap]
    if len(newest) == guards.daily_cap:
        yield Hold(f"{guards.daily_cap} have started within 24 hours, as many as may", newest[-1] + DAY)
