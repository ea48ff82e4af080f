"""The header ``Retry-After``: a number of seconds or a date (RFC 9110, 10.2.3). Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 3600.0
"""What asks for more is asked again after an hour all the same."""


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """How long the answer asks to be left alone, from 0 to 3,600 s; None if it does not say so in a way that is known.

    Example:
        >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        >>> retry_after_seconds("17", noon), retry_after_seconds("Sun, 01 Mar 2026 12:01:00 GMT", noon)
        (17.0, 60.0)
        >>> retry_after_seconds("99999", noon), retry_after_seconds("soon", noon), retry_after_seconds(None, noon)
        (3600.0, None, None)
    """
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        # More digits than this are more than any limit, and the longest of them are no float.
        seconds = float(text[:12])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - now).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)
