"""Events on disk while the hub is down: segments of JSON Lines, numbered in the order in which the events came. Edge.

A process that dies while it writes leaves at most one cut-off line at the end of a segment; that line is no event and
is counted. What is read is removed only after it was sent, so a crash in between sends it twice, never not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SEGMENT_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Segment:
    """Events that lie on disk, in order. ``torn`` counts cut-off lines."""

    number: int
    bodies: tuple[bytes, ...]
    torn: int


class Spool:
    """Numbered segments in one folder, of one process at a time. Not safe for threads by itself.

    Args:
        folder: is created; what an earlier process left there comes first.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._numbers = sorted(int(path.stem) for path in folder.glob("*.jsonl"))
        self._next = self._numbers[-1] + 1 if self._numbers else 1
        # Nobody appends to what an earlier process wrote: its last line may be cut off.
        self._open: int | None = None
        self._in_open = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies here."""
        return not self._numbers

    @property
    def segments(self) -> int:
        """How many segments lie here."""
        return len(self._numbers)

    def reserve(self) -> int:
        """The next number: what is written under it later comes before all that is appended from now on."""
        number, self._next = self._next, self._next + 1
        self._open = None
        return number

    def append(self, bodies: Sequence[bytes]) -> None:
        """Write events behind all others.

        Raises:
            OSError: if the disk refuses; what is written of it may be read again as whole lines.
        """
        if self._open is None or self._in_open >= SEGMENT_EVENTS:
            number = self.reserve()
            self.write(number, bodies)
            self._open, self._in_open = number, len(bodies)
        else:
            self._write_lines(self._open, bodies)
            self._in_open += len(bodies)

    def write(self, number: int, bodies: Sequence[bytes]) -> None:
        """Write events under a reserved number.

        Raises:
            OSError: if the disk refuses.
        """
        self._write_lines(number, bodies)
        self._numbers = sorted({*self._numbers, number})

    def oldest(self) -> Segment | None:
        """The events that came first, None if there are none; the segment grows no more."""
        if not self._numbers:
            return None
        number = self._numbers[0]
        if number == self._open:
            self._open = None
        *lines, rest = self._path(number).read_bytes().split(b"\n")
        return Segment(number, tuple(line for line in lines if line), 1 if rest else 0)

    def remove(self, number: int) -> None:
        """Forget a segment that was sent."""
        self._path(number).unlink(missing_ok=True)
        self._numbers.remove(number)

    def _write_lines(self, number: int, bodies: Sequence[bytes]) -> None:
        with self._path(number).open("ab") as file:
            file.write(b"".join(body + b"\n" for body in bodies))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.jsonl"
