"""Sending dead letters to their hubs again, each at most once unless its sender says "again". Edge.

A requeue first claims what it is about to send, in one transaction of ``requeues`` whose number is the requeue's own:
of two that run at the same time one claims and the other is refused. What was sent, or could not be, is written after
each few events. If the process ends in between, the claims stand alone and the next requeue leaves them out, since
nobody knows whether they were sent; told to send them again, it does no harm, as a copy carries the same event id.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from pegel.errors import OutsideError
from pegel.schemas.dead_letters import Choice, DeadLetter, Place, RequeueState, is_still_itself, may_be_sent
from pegel.tables.dead_letters import read_bodies, read_dead_letters
from pegel.tables.delta import DeltaTables

ACTION = "dead_letters.requeue"

STORED, HUB = "stored", "hub"
"""What is sent: the masked body of the table, or the event as its hub still holds it."""

MAX_EVENTS, MAX_BYTES = 200, 8_000_000
"""What is sent, and in memory, at a time."""

_APP = "requeue"
_T = TypeVar("_T")

Send = Callable[[str, Sequence[bytes]], Collection[int]]
"""Sends bodies to a hub, and gives the positions of those that it does not take, being too large."""

Reread = Callable[[Collection[Place]], Iterable[tuple[Place, bytes]]]
"""Gives the events that a hub still holds at some places, in any order."""


class Trail(Protocol):
    """An audit trail whose ``record`` returns when the record is stored."""

    def record(
        self, *, actor: str, action: str, subject: str, decision: str, reason: str, evidence: Mapping[str, Any]
    ) -> None:
        """Write a decision down."""


@dataclass(frozen=True, slots=True)
class RequeueReport:
    """What a requeue did.

    Attributes:
        run: its number.
        left_out: those that were sent before.
        unfinished: those that an earlier requeue claimed and may have sent.
        states: what became of all others, and how many; of a dry run only ``claimed``.
    """

    run: int
    left_out: int
    unfinished: int
    states: Mapping[RequeueState, int]

    @property
    def not_sent(self) -> int:
        """How many could not be sent."""
        return sum(n for state, n in self.states.items() if state is not RequeueState.SENT)


@dataclass(frozen=True, slots=True)
class _Event:
    """A dead letter with what is to be sent, or with why nothing is."""

    letter: DeadLetter
    source: str
    body: bytes
    state: RequeueState = RequeueState.SENT


@dataclass(slots=True)
class Requeue:
    """Sends dead letters again.

    Args:
        tables: ``dead_letters`` is read, ``requeues`` is written.
        trail: where each requeue is recorded before it sends anything, and when it has ended.
        send: to a hub.
        reread: from the hub.
        actor: who asks for it.
        now: the clock.
    """

    tables: DeltaTables
    trail: Trail
    send: Send
    reread: Reread
    actor: str
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def run(self, choice: Choice, *, from_hub: bool = False, again: bool = False) -> RequeueReport:
        """Send what was chosen.

        Args:
            choice: which dead letters.
            from_hub: whether all are read from their hub again; if not, only those are whose body was not stored, or
                not with its ids as they came.
            again: whether also those are sent that were sent before, or may have been.

        Raises:
            OutsideError: if another requeue runs, or a table, the trail or a hub fails; what was sent is written down.
        """
        run = max(self.tables.last_transaction("requeues", _APP), 0) + 1
        fit, report = plan(self.tables, choice, again=again)
        if not fit:
            return RequeueReport(run, report.left_out, report.unfinished, {})
        self._claim(run, fit)
        asked = {"run": run, "events": len(fit), "from_hub": from_hub, "again": again, "places": _digest(fit)}
        self._record("claimed", "before any of them is sent", run, asked)
        done: Counter[RequeueState] = Counter()
        try:
            for events in _bundles(self._events(fit, from_hub=from_hub)):
                done += self._sent(run, events)
        except OutsideError as error:
            counts = {state.value: n for state, n in done.items()}
            self._record("failed", "it was cut off; the rest may have been sent", run, asked | counts)
            msg = f"{error}; {done[RequeueState.SENT]} of {len(fit)} dead letters are known to be sent before"
            raise OutsideError(msg) from error
        self._record("ended", "all were tried", run, asked | {state.value: n for state, n in done.items()})
        return RequeueReport(run, report.left_out, report.unfinished, done)

    def _claim(self, run: int, letters: Sequence[DeadLetter]) -> None:
        rows = [self._row(run, letter.place, RequeueState.CLAIMED, None) for letter in letters]
        if not self.tables.append("requeues", rows, (_APP, run)):
            msg = (
                "another requeue began at the same time, so nothing was sent; look at what it did, then run this again"
            )
            raise OutsideError(msg)

    def _record(self, decision: str, reason: str, run: int, evidence: Mapping[str, Any]) -> None:
        self.trail.record(
            actor=self.actor, action=ACTION, subject=f"requeue {run}", decision=decision, reason=reason,
            evidence=evidence,
        )  # fmt: skip

    def _events(self, letters: Sequence[DeadLetter], *, from_hub: bool) -> Iterator[_Event]:
        reads = {letter.place: letter for letter in letters if from_hub or letter.characters is None}
        stored = [letter for letter in letters if letter.place not in reads]
        for some in _of_size(stored, lambda letter: 4 * (letter.characters or 0)):
            bodies = read_bodies(self.tables, some)
            masked = [letter for letter in some if not is_still_itself(bodies.get(letter.place) or "")]
            reads |= {letter.place: letter for letter in masked}
            yield from (_stored(letter, bodies.get(letter.place)) for letter in some if letter not in masked)
        for place, body in self.reread(list(reads)) if reads else ():
            letter = reads.pop(place, None)
            if letter is not None:
                is_same = sha256(body).hexdigest() == letter.sha256
                yield _Event(letter, HUB, body, RequeueState.SENT if is_same else RequeueState.OTHER)
        yield from (_Event(letter, HUB, b"", RequeueState.GONE) for letter in reads.values())

    def _sent(self, run: int, events: Sequence[_Event]) -> Counter[RequeueState]:
        states = {event.letter.place: event.state for event in events}
        for hub in sorted({event.letter.place.hub for event in events}):
            to_send = [e for e in events if e.letter.place.hub == hub and e.state is RequeueState.SENT]
            if to_send:
                too_large = self.send(hub, [event.body for event in to_send])
                states |= {to_send[i].letter.place: RequeueState.TOO_LARGE for i in too_large}
        sources = {event.letter.place: event.source for event in events}
        rows = [self._row(run, place, state, sources[place]) for place, state in states.items()]
        self.tables.append("requeues", rows)
        return Counter(states.values())

    def _row(self, run: int, place: Place, state: RequeueState, source: str | None) -> dict[str, Any]:
        return {
            "hub": place.hub, "partition": place.partition, "offset": place.offset, "run": run, "state": state.value,
            "source": source, "at": self.now(),
        }  # fmt: skip


def plan(tables: DeltaTables, choice: Choice, *, again: bool) -> tuple[list[DeadLetter], RequeueReport]:
    """What a requeue would send, in the order of the hub, and what it would leave out. It changes nothing.

    Raises:
        OutsideError: if a table cannot be read.
    """
    letters = sorted(read_dead_letters(tables, choice), key=lambda letter: (letter.enqueued_time, letter.place))
    fit = [letter for letter in letters if again or may_be_sent(letter.requeues)]
    sent = sum(RequeueState.SENT in letter.requeues for letter in letters) if not again else 0
    unfinished = len(letters) - len(fit) - sent
    return fit, RequeueReport(0, sent, unfinished, {RequeueState.CLAIMED: len(fit)} if fit else {})


def _stored(letter: DeadLetter, body: str | None) -> _Event:
    # It may have been erased since it was chosen.
    return _Event(letter, STORED, b"", RequeueState.GONE) if body is None else _Event(letter, STORED, body.encode())


def _bundles(events: Iterable[_Event]) -> Iterator[list[_Event]]:
    return _of_size(events, lambda event: len(event.body))


def _of_size(items: Iterable[_T], bytes_of: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Cut into pieces of at most :data:`MAX_EVENTS` and about :data:`MAX_BYTES`."""
    piece: list[_T] = []
    size = 0
    for item in items:
        if piece and (len(piece) >= MAX_EVENTS or size + bytes_of(item) > MAX_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(item)
        size += bytes_of(item)
    if piece:
        yield piece


def _digest(letters: Iterable[DeadLetter]) -> str:
    """So that the record names exactly which: the places stand in ``requeues``."""
    return sha256("\n".join(str(letter.place) for letter in letters).encode()).hexdigest()
