"""Numbers, times and small drawings as text for the templates. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

NOTHING = "–"
"""Stands where there is no number."""


def count(value: int | None) -> str:
    """A whole number.

    Example:
        >>> count(128402), count(None)
        ('128,402', '–')
    """
    return NOTHING if value is None else f"{value:,}"


def number(value: float | None) -> str:
    """A number to three digits.

    Example:
        >>> number(12.345), number(0.04567), number(1234.5), number(0.0), number(None)
        ('12.3', '0.0457', '1,234', '0', '–')
    """
    if value is None:
        return NOTHING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def ratio(value: float) -> str:
    """A ratio to two digits.

    Example:
        >>> ratio(0.4987), ratio(12.3)
        ('0.5', '12')
    """
    return f"{float(f'{value:.2g}'):g}"


def percent(value: float | None) -> str:
    """A share as a percentage; small ones keep a digit that matters.

    Example:
        >>> percent(0.9123), percent(0.00042), percent(0.0), percent(None)
        ('91.2 %', '0.042 %', '0 %', '–')
    """
    if value is None:
        return NOTHING
    hundred = 100 * value
    return f"{hundred:.1f} %" if hundred >= 1 else f"{float(f'{hundred:.2g}'):g} %"


def duration(seconds: float | None) -> str:
    """A span of time in words short enough for a table.

    Example:
        >>> [duration(s) for s in (3.2, 75, 3700, 200000)]
        ['3 s', '1 min 15 s', '1 h 01 min', '2 d 07 h']
    """
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02} h"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long before ``now``; the page's script writes the same words anew every second."""
    return "never" if moment is None else f"{duration((now - moment).total_seconds())} ago"


def clock(moment: datetime | None, now: datetime) -> str:
    """The time in UTC, with the day where it is not today.

    Example:
        >>> noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
        >>> clock(noon, noon), clock(datetime(2026, 11, 24, 3, 5, 6, tzinfo=UTC), noon)
        ('12:00:00', '24 Nov 03:05:06')
    """
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    return f"{utc:%H:%M:%S}" if utc.date() == now.astimezone(UTC).date() else f"{utc:%d %b %H:%M:%S}"


def iso(moment: datetime | None) -> str:
    """The moment for a machine."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def polyline(values: Sequence[float], width: int, height: int) -> str:
    """Points of an SVG line through the values, oldest left, 0 at the foot.

    Example:
        >>> polyline((0.0, 1.0, 2.0), 100, 20)
        '0.0,19.0 50.0,10.0 100.0,1.0'
    """
    top = max(values, default=0.0) or 1.0
    step = width / max(1, len(values) - 1)
    return " ".join(f"{i * step:.1f},{height - 1 - (height - 2) * value / top:.1f}" for i, value in enumerate(values))


def gauge_height(share: float, height: float) -> float:
    """How high the water stands on a staff whose middle is the mark (share 1) and whose top is never reached.

    Example:
        >>> gauge_height(1.0, 100), gauge_height(3.0, 100), gauge_height(0.0, 100)
        (50.0, 75.0, 0.0)
    """
    level = max(0.0, share)
    return round(height * level / (1 + level), 1)


def with_code(text: str) -> Markup:
    """The text, escaped, with what stands between backticks set as code.

    Example:
        >>> with_code("run `pegel stream` <now>")
        Markup('run <code>pegel stream</code> &lt;now&gt;')
    """
    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


FILTERS = {
    "count": count,
    "number": number,
    "ratio": ratio,
    "percent": percent,
    "duration": duration,
    "ago": ago,
    "clock": clock,
    "iso": iso,
    "polyline": polyline,
    "gauge_height": gauge_height,
    "with_code": with_code,
}
