"""Finds the alerts whose call never came, and takes them up as if it had. Edge.

An action group gives up after six tries and then leaves an endpoint alone for a quarter of an hour; a webhook that was
down longer hears of nothing by itself. What was to be done is in the table ``alerts`` all the same.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pegel.alerts.webhook.call_records import Outcome
from pegel.alerts.webhook.intake import Intake

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS = 60.0


class Reconciler:
    """Looks from time to time.

    Args:
        intake: the calls that came, and where one that did not is taken up.
        after_seconds: how long after the decision the call counts as lost. If it comes later, it is a copy.
        now: the clock.
    """

    def __init__(
        self, intake: Intake, after_seconds: float, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._intake = intake
        self._after = timedelta(seconds=after_seconds)
        self._pause = min(_LONGEST_PAUSE_SECONDS, after_seconds / 2)
        self._now = now
        self._next = now()

    def step(self) -> float:
        """Look if it is time; return the seconds until the next look."""
        if self._next <= self._now():
            self._next = self._now() + timedelta(seconds=self._pause)
            try:
                self._look()
            except Exception as error:  # nothing may end the one thread that starts retrainings
                _log.warning("lost calls could not be looked for, next in %.0f s: %r", self._pause, error)
        return max(0.0, (self._next - self._now()).total_seconds())

    def _look(self) -> None:
        for call in self._intake.overlooked(self._now() - self._after):
            if self._intake.take(call).outcome is Outcome.STORED:
                seconds = self._after.total_seconds()
                _log.warning("incident %s: no call came within %.0f s, it is taken up", call.incident_id, seconds)
