"""What a page is asked to show. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Scope:
    """The moment and the bounds of a page.

    Attributes:
        now: the moment that it tells of.
        hours: how far back.
        fine_hours: how far back the shortest windows go.
        stale_seconds: after how long without news something counts as standing still.
        lag_seconds: how far behind the hub a batch may be.
        windows: lengths of the windows that can be chosen, in seconds.
        sinks: where alerts are delivered to.
        window_s: the length that was chosen; one that is not in ``windows`` leaves the choice to the page.
        model: the model that was chosen; likewise.
    """

    now: datetime
    hours: float
    fine_hours: float
    stale_seconds: float
    lag_seconds: float
    windows: tuple[int, ...]
    sinks: tuple[str, ...]
    window_s: int = 0
    model: str | None = None

    @property
    def start(self) -> datetime:
        """The earliest moment that is shown."""
        return self.now - timedelta(hours=self.hours)

    @property
    def fine_start(self) -> datetime:
        """The earliest moment of which the shortest windows are shown."""
        return self.now - timedelta(hours=min(self.hours, self.fine_hours))
