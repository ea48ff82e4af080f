"""A law that the tables must keep, and where they break it. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_DIFFERENCES = 20
"""A law names no more differences than these; it counts them all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that stands in a table otherwise than it must.

    Attributes:
        table: its name.
        batch_id: of the micro-batch; None if it is about several.
        key: what it is about, within the micro-batch.
        expected: what must stand there; None for nothing.
        found: what stands there; None for nothing.
    """

    table: str
    batch_id: int | None
    key: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        where = "" if self.batch_id is None else f", micro-batch {self.batch_id}"
        return f"{self.table}{where}, {self.key!r}: expected {self.expected!r}, found {self.found!r}"


@dataclass(slots=True)
class Law:
    """A law, how often it was checked, and where it does not hold.

    Args:
        name: a short one.
        meaning: the law in words.

    Attributes:
        checked: how many values were compared.
        broken: how many of them differ.
        differences: the first of these.

    Example:
        >>> law = Law("sums", "received = stored + dead letters + duplicates")
        >>> law.compare("batches", 7, "received", 3, 3)
        >>> law.compare("batches", 8, "received", 3, 2)
        >>> print(law.line())
        BROKEN  sums: 1 of 2: received = stored + dead letters + duplicates
        >>> print(law.differences[0])
        batches, micro-batch 8, 'received': expected 3, found 2
    """

    name: str
    meaning: str
    checked: int = 0
    broken: int = 0
    differences: list[Difference] = field(default_factory=list)

    def compare(self, table: str, batch_id: int | None, key: str, expected: Any, found: Any) -> None:
        """Check one value."""
        self.checked += 1
        if expected != found:
            self.broken += 1
            if len(self.differences) < MAX_DIFFERENCES:
                self.differences.append(Difference(table, batch_id, key, expected, found))

    def hold(self, count: int) -> None:
        """So many values were found to be as they must."""
        self.checked += count

    def line(self) -> str:
        """The outcome for people."""
        if self.broken:
            return f"BROKEN  {self.name}: {self.broken} of {self.checked}: {self.meaning}"
        return f"holds   {self.name}: {self.checked}: {self.meaning}"

    def as_json(self) -> Mapping[str, Any]:
        """The outcome for programs."""
        return asdict(self)
