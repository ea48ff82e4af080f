"""What each row of ``batches`` must say of itself and of the rows that it stands for. Pure.

Rows that were erased are missing from the tables and are counted in ``erasures``; nothing else may be missing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pegel.schemas.dead_letters import counted_as
from pegel.streaming.verify.laws import Law

Row = Mapping[str, Any]
Place = tuple[int, str, str]
"""(batch_id, hub, partition)."""
BATCHES_PER_GENERATION = 10**9

EVENT_TABLES = ("predictions", "feedback", "dead_letters")
"""The tables with one row for each event."""

_HUBS = ("", "feedback_")


@dataclass(slots=True)
class RowCounts:
    """How many rows each micro-batch has, counted from the tables.

    Attributes:
        stored: table -> batch_id -> rows; dead letters of the feedback hub are counted as ``feedback_dead_letters``.
        erased: table -> batch_id -> rows that were erased, by the same names.
        places: (batch_id, hub, partition) -> rows of any table, different offsets, lowest and highest offset.
        gaps: (batch_id, hub, partition) -> first and last offset of each gap on record, in order.
    """

    stored: Mapping[str, Counter[int]]
    erased: Mapping[str, Counter[int]]
    places: Mapping[Place, tuple[int, int, int, int]] = field(default_factory=dict)
    gaps: Mapping[Place, Sequence[tuple[int, int]]] = field(default_factory=dict)

    def of(self, table: str, batch_id: int) -> int:
        """Rows that are there or were erased."""
        return self._of(self.stored, table, batch_id) + self._of(self.erased, table, batch_id)

    @staticmethod
    def _of(counts: Mapping[str, Counter[int]], table: str, batch_id: int) -> int:
        return counts[table][batch_id] if table in counts else 0


class BatchLaws:
    """Checks the rows of ``batches`` one after the other.

    Args:
        counts: of the tables' rows.
    """

    def __init__(self, counts: RowCounts) -> None:
        self._counts = counts
        self._ends: dict[tuple[str, str, str], int] = {}
        self._before: int | None = None
        self._seen: set[int] = set()
        self._gaps_met: set[Place] = set()
        self.sums = Law("conservation", "received = stored + dead letters + duplicates, stored = in partials")
        self.offsets = Law(
            "offsets", "each partition is read on where it ended before, without a gap that is not on record"
        )
        self.rows = Law("rows", "each table holds the rows that its micro-batch counted, erased ones included")
        self.places = Law("coordinates", "each row lies in the offsets of its micro-batch, each in a place of its own")
        self.marks = Law("commit marks", "each micro-batch has one row in batches, and no row is without one")

    @property
    def laws(self) -> tuple[Law, ...]:
        """All of them."""
        return self.sums, self.offsets, self.rows, self.places, self.marks

    def check(self, row: Row) -> None:
        """Check the next row, in the order of ``batch_id``."""
        batch_id = row["batch_id"]
        self.marks.compare("batches", batch_id, "rows", 1, 1 + (batch_id in self._seen))
        self.marks.compare("batches", batch_id, "generation", batch_id // BATCHES_PER_GENERATION, row["generation"])
        self._seen.add(batch_id)
        self._check_sums(row)
        self._check_rows(row)
        for one in row["offsets"]:
            self._check_range(row, one)

    def finish(self, up_to: int) -> None:
        """Check that no micro-batch up to this id is without its row, and no gap without a hole."""
        lost: Counter[tuple[str, int]] = Counter()
        for table, of_table in self._counts.stored.items():
            lost.update({(table, batch): n for batch, n in of_table.items() if batch not in self._seen})
        for (table, batch_id), n in sorted(lost.items()):
            if batch_id <= up_to:
                self.marks.compare(table, batch_id, "rows without a commit mark", 0, n)
        for place in sorted(self._counts.gaps.keys() - self._gaps_met):
            if place[0] <= up_to:
                self.offsets.compare("gaps", place[0], f"{place[1]}/{place[2]} gaps", 0, len(self._counts.gaps[place]))

    def _check_sums(self, row: Row) -> None:
        batch_id = row["batch_id"]
        for hub in _HUBS:
            total = row[f"{hub}stored"] + row[f"{hub}dead_letters"] + row[f"{hub}duplicates"]
            self.sums.compare("batches", batch_id, f"{hub}received", total, row[f"{hub}received"])
        self.sums.compare("batches", batch_id, "in_partials", row["stored"], row["in_partials"])
        read = sum(one["count"] for one in row["offsets"])
        self.sums.compare("batches", batch_id, "count in offsets", row["received"] + row["feedback_received"], read)

    def _check_rows(self, row: Row) -> None:
        batch_id = row["batch_id"]
        for column, table in (
            ("stored", "predictions"),
            ("feedback_stored", "feedback"),
            ("dead_letters", "dead_letters"),
            ("feedback_dead_letters", "feedback_dead_letters"),
        ):
            self.rows.compare(table, batch_id, "rows", row[column], self._counts.of(table, batch_id))

    def _check_range(self, row: Row, one: Row) -> None:
        batch_id, place = row["batch_id"], f"{one['hub']}/{one['partition']}"
        self._check_offsets(row, one, place)
        found = self._counts.places.get((batch_id, one["hub"], one["partition"]))
        if found is None:
            return
        rows, different, lowest, highest = found
        self.places.compare("all tables", batch_id, f"{place} different offsets", rows, different)
        self.places.compare("all tables", batch_id, f"{place} lowest offset", max(lowest, one["first"]), lowest)
        self.places.compare("all tables", batch_id, f"{place} highest offset", min(highest, one["last"]), highest)

    def _check_offsets(self, row: Row, one: Row, place: str) -> None:
        batch_id = row["batch_id"]
        here = batch_id, one["hub"], one["partition"]
        gaps = self._counts.gaps.get(here, ())
        self._gaps_met.add(here)
        within = [gap for gap in gaps if one["first"] < gap[0] and gap[1] < one["last"]]
        key = row["query_id"], one["hub"], one["partition"]
        # A new checkpoint may begin anywhere.
        expected = self._ends[key] + 1 if key in self._ends else one["first"]
        for first, last in gaps:
            if (first, last) not in within:
                self.offsets.compare("gaps", batch_id, f"{place} first", expected, first)
                expected = last + 1
        self.offsets.compare("batches", batch_id, f"{place} first", expected, one["first"])
        missing = sum(last - first + 1 for first, last in within)
        self.offsets.compare(
            "batches", batch_id, f"{place} count", one["last"] - one["first"] + 1 - missing, one["count"]
        )
        self._ends[key] = one["last"]


def counts_by(table: str, rows: Iterable[Row], feedback_hub: str) -> dict[str, Counter[int]]:
    """Put counts of ``batch_id, hub, n`` together by table and micro-batch.

    Example:
        >>> rows = [{"batch_id": 1, "hub": "feedback", "n": 2}, {"batch_id": 1, "hub": "predictions", "n": 3}]
        >>> counts_by("dead_letters", rows, "feedback")
        {'feedback_dead_letters': Counter({1: 2}), 'dead_letters': Counter({1: 3})}
    """
    counts: dict[str, Counter[int]] = {}
    for row in rows:
        counts.setdefault(counted_as(table, row["hub"], feedback_hub), Counter())[row["batch_id"]] += row["n"]
    return counts
