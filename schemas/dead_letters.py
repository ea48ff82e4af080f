"""What a dead letter is to the person who looks into it, and what became of it when it was sent again. Pure."""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pegel.errors import SettingsError
from pegel.schemas.events import CONTRACT
from pegel.schemas.partials import BACKFILL_HUB

_IDENTIFYING = tuple(dict.fromkeys(f.json for fields in CONTRACT.fields.values() for f in fields if f.required))
_MASKED = re.compile(r"\[[a-z]+\]")
_AGO = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def counted_as(table: str, hub: str, feedback_hub: str) -> str:
    """What rows of a table of events are called in ``batches``; backfilled ones are with the hub that they are of.

    Example:
        >>> counted_as("dead_letters", "feedback:backfill", "feedback"), counted_as("feedback", "feedback", "feedback")
        ('feedback_dead_letters', 'feedback')
    """
    of_feedback = table == "dead_letters" and hub.removesuffix(BACKFILL_HUB) == feedback_hub
    return "feedback_dead_letters" if of_feedback else table


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an event lies: ``offset`` is its sequence number in the partition."""

    hub: str
    partition: str
    offset: int

    def __str__(self) -> str:
        return f"{self.hub}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused event.

    Attributes:
        place: where it lies in its hub.
        batch_id: the micro-batch that refused it.
        enqueued_time: when the hub took it.
        reason: one of ``schemas.events.REASONS``.
        detail: the same in words.
        sha256: of the body as it came.
        characters: of the masked body; None if no body was kept.
        requeues: the states that it had when it was sent again, the oldest first; empty if it never was.
    """

    place: Place
    batch_id: int
    enqueued_time: datetime
    reason: str
    detail: str | None
    sha256: str
    characters: int | None
    requeues: tuple["RequeueState", ...] = ()


class RequeueState(StrEnum):
    """What became of a dead letter in one requeue."""

    CLAIMED = "claimed"
    """It is about to be sent; if nothing follows, the requeue was cut off, and nobody knows whether it was sent."""
    SENT = "sent"
    GONE = "gone"
    """The hub does not hold it any more, and there is no stored body, or it was not to be used."""
    OTHER = "other"
    """The hub holds another event there: it was made anew."""
    TOO_LARGE = "too_large"
    """The hub takes no event of this size."""


NOT_SENT = frozenset({RequeueState.GONE, RequeueState.OTHER, RequeueState.TOO_LARGE})
"""A requeue that ended so has sent nothing, so the next one may try without being told to."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are meant: those that are all of this.

    Attributes:
        places: where they lie; empty for anywhere.
        reasons: their reason codes; empty for any.
        hub: their hub; '' for any.
        since: the hub took them at this moment or later; None for any time.
        until: the hub took them before this moment; None for any time.
        limit: at most so many, the newest; None for all.
    """

    places: frozenset[Place] = frozenset()
    reasons: frozenset[str] = frozenset()
    hub: str = ""
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing was chosen."""
        return self == Choice()


def may_be_sent(states: Iterable[RequeueState]) -> bool:
    """Whether a dead letter that had these states may be sent without its sender saying "again".

    Example:
        >>> may_be_sent([]), may_be_sent([RequeueState.CLAIMED]), may_be_sent([RequeueState.CLAIMED, RequeueState.GONE])
        (True, False, True)
    """
    open_claims = 0
    for state in states:
        if state is RequeueState.SENT:
            return False
        open_claims += 1 if state is RequeueState.CLAIMED else -1
    return open_claims <= 0


def is_still_itself(body: str) -> bool:
    """Whether masking left the fields of a body alone that say which event it is.

    A body is masked as one text, so an id that looks like an address or a number of a person is masked in it. Sent so,
    two events could pass for copies of each other, and no label would find them.

    Example:
        >>> is_still_itself('{"event_id": "e1", "input": "mail [email]"}'), is_still_itself('{"event_id": "[phone]-1"}')
        (True, False)
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return True
    texts = (document.get(name) for name in _IDENTIFYING) if isinstance(document, dict) else ()
    return not any(isinstance(text, str) and _MASKED.search(text) for text in texts)


def read_place(text: str) -> Place:
    """The place that ``HUB/PARTITION/OFFSET`` names.

    Raises:
        SettingsError: if the text is none.

    Example:
        >>> read_place("predictions/0/17")
        Place(hub='predictions', partition='0', offset=17)
    """
    hub, _, rest = text.partition("/")
    partition, _, offset = rest.rpartition("/")
    if not hub or not partition or not (offset.isascii() and offset.isdecimal()) or len(offset) > 18:
        msg = f"{text!r} names no event; write HUB/PARTITION/OFFSET, for instance predictions/0/17"
        raise SettingsError(msg)
    return Place(hub, partition, int(offset))


def read_places(words: Collection[str]) -> frozenset[Place]:
    """The places that the words of a command line name: each is one, or three of them are the parts of one.

    Raises:
        SettingsError: if a word names none.

    Example:
        >>> sorted(map(str, read_places(["predictions/0/17", "feedback/1/3"])))
        ['feedback/1/3', 'predictions/0/17']
        >>> read_places(["predictions", "0", "17"]) == read_places(["predictions/0/17"])
        True
    """
    words = list(words)
    if len(words) == 3 and not any("/" in word for word in words):
        words = ["/".join(words)]
    return frozenset(read_place(word) for word in words)


def read_moment(text: str, now: datetime) -> datetime:
    """A moment in RFC 3339, UTC unless it says otherwise, or how long ago it was: ``90m``, ``2h``, ``7d``.

    Raises:
        SettingsError: if the text is neither.

    Example:
        >>> now = datetime(2026, 11, 27, 12, tzinfo=UTC)
        >>> read_moment("2h", now) == read_moment("2026-11-27T10:00", now) == read_moment("2026-11-27T11:00+01:00", now)
        True
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - int(ago[1]) * _UNITS[ago[2]]
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        msg = f"{text!r} is no moment; write one such as 2026-11-27T10:00Z, or how long ago: 90m, 2h, 7d"
        raise SettingsError(msg) from None
