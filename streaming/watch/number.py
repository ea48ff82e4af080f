"""One number about a window. Pure."""

from dataclasses import dataclass

from pegel.streaming.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class Number:
    """A number, the events behind it, and how sure it is.

    Attributes:
        metric: its name, see ``schemas/metric_names.py``.
        value: None where it is not defined.
        n: events behind it.
        column: empty for numbers about the whole event.
        interval: at 95 %.
        p_value: under 'no drift', at this n, for independent events.
        effect: size of the shift in baseline standard deviations.
        baseline_id: what it was compared with; empty if nothing.
        label_completeness: labelled events over events, 0 to 1.
    """

    metric: str
    value: float | None
    n: int
    column: str = ""
    interval: Interval | None = None
    p_value: float | None = None
    effect: float | None = None
    baseline_id: str = ""
    label_completeness: float | None = None
