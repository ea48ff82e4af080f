"""Finding edits, reordering, insertions and deletions in an audit chain. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pegel.schemas.audit import GENESIS, Anchor, AuditRecord, record_hash

MAX_FINDINGS = 20
"""One break is enough to know; of a table that was shuffled, no more sentences than these are made."""


@dataclass(slots=True)
class Verification:
    """Reads a chain from its first record to its last one and says what is wrong.

    Args:
        writer: whose chain it is.
        anchors: what was kept elsewhere about this chain, in any order.

    Attributes:
        findings: one sentence each, at most :data:`MAX_FINDINGS`; empty if nothing is wrong.
        records: how many records were read.
        unanchored: how many of them lie behind the last anchor that holds: if these alone are cut off or written anew,
            no later verification can find it.

    Example:
        >>> from datetime import UTC, datetime
        >>> from pegel.schemas.audit import Decision, chain
        >>> decided = Decision(datetime(2026, 11, 27, tzinfo=UTC), "a", "x.y", "s", "d", "r", "{}")
        >>> first, second, third = chain("w", (-1, GENESIS), [decided] * 3)
        >>> Verification("w", []).read([first, third]).findings
        ['record 1 is missing: it was deleted, or never reached the table']
        >>> Verification("w", [Anchor(1, second.hash, "an alert")]).read([first, second, third]).unanchored
        1
    """

    writer: str
    anchors: Sequence[Anchor]
    findings: list[str] = field(default_factory=list)
    records: int = 0
    unanchored: int = 0
    _broken_anchor: bool = False

    def read(self, records: Iterable[AuditRecord]) -> "Verification":
        """Verify.

        Args:
            records: all of them in the order of their numbers.
        """
        waiting = sorted(self.anchors, key=lambda anchor: anchor.sequence)
        before: AuditRecord | None = None
        for record in records:
            self.records += 1
            self.unanchored += 1
            for sentence in self._compare(before, record):
                self._say(sentence)
            while waiting and waiting[0].sequence < record.sequence:
                self._miss(waiting.pop(0))
            while waiting and waiting[0].sequence == record.sequence:
                self._hold(waiting.pop(0), record)
            before = record
        for anchor in waiting:
            self._miss(anchor)
        return self

    def lines(self) -> list[str]:
        """The outcome for people: one line about the table, then one for each finding.

        Example:
            >>> Verification("serve", []).read([]).lines()
            ['audit_events_serve: intact, 0 records, 0 anchors']
        """
        state = f"{len(self.findings)} findings" if self.findings else "intact"
        head = f"audit_events_{self.writer}: {state}, {self.records} records, {len(self.anchors)} anchors"
        if self.unanchored:
            head += f"; changes in the last {self.unanchored} records could not be found, no anchor holds them yet"
        return [head, *(f"audit_events_{self.writer}: {finding}" for finding in self.findings)]

    def _compare(self, before: AuditRecord | None, record: AuditRecord) -> Iterator[str]:
        number, last = record.sequence, -1 if before is None else before.sequence
        if record_hash(self.writer, number, record.decided, record.previous_hash) != record.hash:
            yield f"record {number} was edited or moved: its content does not give the hash that it carries"
        if before is not None and number == last:
            same = "is there twice" if record == before else "has a second record of the same number: one was inserted"
            yield f"record {number} {same}"
        elif number > last + 1:
            missing = f"record {last + 1} is" if number == last + 2 else f"records {last + 1} to {number - 1} are"
            it = "it was" if number == last + 2 else "they were"
            yield f"{missing} missing: {it} deleted, or never reached the table"
        elif number < 0:
            yield f"record {number} was inserted: numbers begin at 0"
        elif record.previous_hash != (GENESIS if before is None else before.hash):
            yield f"record {number} does not follow the one before it: that one was edited, replaced or moved"

    def _hold(self, anchor: Anchor, record: AuditRecord) -> None:
        if anchor.hash == record.hash:
            self.unanchored = 0
        elif not self._broken_anchor:
            self._broken_anchor = True
            self._say(
                f"record {anchor.sequence} is not the one whose hash was kept in {anchor.source}: it, or a record "
                "before it, was written anew"
            )

    def _miss(self, anchor: Anchor) -> None:
        if not self._broken_anchor:
            self._broken_anchor = True
            self._say(f"record {anchor.sequence} is gone, but its hash was kept in {anchor.source}: it was deleted")

    def _say(self, sentence: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(sentence)
