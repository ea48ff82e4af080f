"""What ``erasures`` says: how many rows of which micro-batch are gone, and which events must not come back. Edge."""

from collections import Counter
from collections.abc import Mapping

from pegel.schemas.dead_letters import counted_as
from pegel.tables.delta import DeltaTables
from pegel.tables.owned import Place

NAME = "erasures"


def erased_places(tables: DeltaTables, erasure_id: str) -> dict[str, set[Place]]:
    """Table -> the places of the rows that an erasure has marked.

    Raises:
        OutsideError: if the table cannot be read.
    """
    found: dict[str, set[Place]] = {}
    for piece in tables.scan(NAME, 'SELECT erasure_id, table_name, batch_id, hub, "partition", "offset" FROM t'):
        for row in piece.to_pylist():
            if row["erasure_id"] == erasure_id:
                place = row["batch_id"], row["hub"], row["partition"], row["offset"]
                found.setdefault(row["table_name"], set()).add(place)
    return found


def erased_counts(tables: DeltaTables, feedback_hub: str) -> dict[str, Counter[int]]:
    """Table -> batch_id -> rows that were erased; dead letters of the feedback hub as ``feedback_dead_letters``.

    A row that two erasures have marked counts once.

    Raises:
        OutsideError: if the table cannot be read.
    """
    counts: dict[str, Counter[int]] = {}
    places = 'SELECT DISTINCT table_name, batch_id, hub, "partition", "offset" FROM t'
    for row in tables.read(NAME, f"SELECT table_name, batch_id, hub, count(*) AS n FROM ({places}) GROUP BY 1, 2, 3"):
        name = counted_as(row["table_name"], row["hub"], feedback_hub)
        counts.setdefault(name, Counter())[row["batch_id"]] += row["n"]
    return counts


def erased_of_batch(tables: DeltaTables, name: str, batch_id: int) -> int:
    """How many rows of a micro-batch were erased from a table.

    Raises:
        OutsideError: if the table cannot be read.
    """
    places = f'SELECT DISTINCT table_name, hub, "partition", "offset" FROM t WHERE batch_id = {batch_id}'
    rows = tables.read(NAME, f"SELECT table_name, count(*) AS n FROM ({places}) GROUP BY 1")
    counts: Mapping[str, int] = {row["table_name"]: row["n"] for row in rows}
    return counts.get(name, 0)
