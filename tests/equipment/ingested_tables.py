"""Every table that ingest writes against the recomputation: the same rows, no more and no fewer."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from equipment.judged_events import LoggedEvent
from equipment.recompute import ExpectedBatch, Recomputation, Row

from pegel.conf.settings import Settings
from pegel.schemas.grids import Grid
from pegel.schemas.tables import TABLES
from pegel.streaming.ingest.batch import BatchCounts
from pegel.tables.delta import DeltaTables

STORED = ("predictions", "feedback", "dead_letters", "profiles")
_ORDER = {
    "predictions": ("hub", "partition", "offset"),
    "feedback": ("hub", "partition", "offset"),
    "dead_letters": ("hub", "partition", "offset"),
    "profiles": TABLES["profiles"].key,
}
_SAID_IN_WORDS = {"dead_letters": {"detail"}}


def differences(
    tables: DeltaTables,
    events: Iterable[LoggedEvent],
    settings: Settings,
    grids_of: Mapping[tuple[str, str], Grid] | None = None,
) -> list[Any]:
    """What stands in the tables otherwise than it must, given the offsets in ``batches``; empty if all is well."""
    recomputation = Recomputation(events, settings, grids_of)
    stored = {name: _by_batch(name, tables.read(name)) for name in STORED}
    rows = sorted(tables.read("batches"), key=lambda row: row["batch_id"])
    found: list[Any] = []
    for row in rows:
        expected = recomputation.batch(row["batch_id"], row["offsets"])
        found += _in_batches(row, expected)
        for name in STORED:
            found += _compare(name, _in_order(name, getattr(expected, name)), stored[name].pop(row["batch_id"], []))
    found += [(name, "rows of a micro-batch that has no commit mark", ids) for name, ids in stored.items() if ids]
    ids = [row["batch_id"] for row in rows]
    return found if len(set(ids)) == len(ids) else [*found, ("batches", "a micro-batch stands twice", ids)]


def _by_batch(name: str, rows: Iterable[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in _in_order(name, rows):
        groups[row["batch_id"]].append(row)
    return groups


def _in_order(name: str, rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [row[c] for c in _ORDER[name]])


def _compare(name: str, wanted: Sequence[Row], stored: Sequence[Row]) -> list[Any]:
    if len(wanted) != len(stored):
        keys = [{tuple(row[c] for c in _ORDER[name]) for row in rows} for rows in (wanted, stored)]
        return [(name, f"{len(wanted)} rows wanted, {len(stored)} stored", keys[0] - keys[1], keys[1] - keys[0])]
    columns = [column for column in TABLES[name].names if column not in _SAID_IN_WORDS.get(name, ())]
    found = []
    for one, other in zip(wanted, stored, strict=True):
        place = tuple(one[c] for c in _ORDER[name])
        found += [
            (name, place, column, one[column], other[column]) for column in columns if one[column] != other[column]
        ]
        if name == "dead_letters" and not other["detail"]:
            found.append((name, place, "detail", "some words", other["detail"]))
    return found


def _in_batches(row: Row, expected: ExpectedBatch) -> list[Any]:
    wanted = {name: expected.counts[name] for name in asdict(BatchCounts())} | {"offsets": expected.offsets}
    return [
        ("batches", row["batch_id"], name, value, row[name]) for name, value in wanted.items() if row[name] != value
    ]
