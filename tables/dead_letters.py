"""Reading ``dead_letters``, and what became of them when they were sent again. Edge.

An event that two checkpoints refused stands there twice; the newest row is taken.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from pegel.schemas.dead_letters import Choice, DeadLetter, Place, RequeueState
from pegel.tables.delta import DeltaTables, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = 'hub, partition, "offset", batch_id, enqueued_time, reason, detail, sha256, character_length(body) AS length'
_NEWEST_FIRST = 'enqueued_time DESC, hub DESC, partition DESC, "offset" DESC, batch_id DESC'
_STATES_IN_ORDER = {state: number for number, state in enumerate(RequeueState)}


def read_dead_letters(tables: DeltaTables, choice: Choice) -> list[DeadLetter]:
    """The dead letters that are meant, without their bodies; the newest first.

    Raises:
        OutsideError: if a table cannot be read.
    """
    rows = list(islice(_newest_first(tables, choice), choice.limit))
    states = _states(tables, dict(rows))
    return [
        DeadLetter(
            place, row["batch_id"], row["enqueued_time"], row["reason"], row["detail"], row["sha256"],
            row["length"], states.get(place, ()),
        )
        for place, row in rows
    ]  # fmt: skip


def read_bodies(tables: DeltaTables, letters: Collection[DeadLetter]) -> dict[Place, str | None]:
    """The masked bodies of some dead letters; None where none was kept. They are in memory all at once.

    Raises:
        OutsideError: if the table cannot be read.
    """
    if not letters:
        return {}
    wanted = {(letter.place, letter.batch_id) for letter in letters}
    batches = ", ".join(str(number) for number in {letter.batch_id for letter in letters})
    sql = (
        'SELECT hub, partition, "offset", batch_id, body FROM t '
        f'WHERE batch_id IN ({batches}) AND "offset" IN ({_offsets(place for place, _ in wanted)})'
    )
    rows = tables.read("dead_letters", sql)
    return {_place(row): row["body"] for row in rows if (_place(row), row["batch_id"]) in wanted}


def _newest_first(tables: DeltaTables, choice: Choice) -> Iterator[tuple[Place, Row]]:
    last = None
    sql = f"SELECT {_COLUMNS} FROM t WHERE {_where(choice)} ORDER BY {_NEWEST_FIRST}"
    for piece in tables.scan("dead_letters", sql):
        for row in piece.to_pylist():
            place = _place(row)
            if place != last and _is_meant(choice, place, row["reason"]):
                yield place, row
            last = place


def _is_meant(choice: Choice, place: Place, reason: str) -> bool:
    """What a person typed is compared here, and never gets into SQL."""
    return (
        (not choice.places or place in choice.places)
        and (not choice.reasons or reason in choice.reasons)
        and choice.hub in {"", place.hub}
    )


def _states(tables: DeltaTables, places: Collection[Place]) -> dict[Place, tuple[RequeueState, ...]]:
    found: dict[Place, list[tuple[int, RequeueState]]] = defaultdict(list)
    for row in tables.read("requeues", 'SELECT hub, partition, "offset", run, state FROM t'):
        if (place := _place(row)) in places:
            found[place].append((row["run"], RequeueState(row["state"])))
    return {
        place: tuple(state for _, state in sorted(states, key=lambda one: (one[0], _STATES_IN_ORDER[one[1]])))
        for place, states in found.items()
    }


def _where(choice: Choice) -> str:
    """The rest of a choice, which is numbers."""
    conditions = ["true"]
    for moment, sign in ((choice.since, ">="), (choice.until, "<")):
        if moment is not None:
            microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
            conditions.append(f"enqueued_time {sign} to_timestamp_micros({microseconds})")
    if choice.places:
        conditions.append(f'"offset" IN ({_offsets(choice.places)})')
    return " AND ".join(conditions)


def _offsets(places: Collection[Place] | Iterator[Place]) -> str:
    return ", ".join(str(offset) for offset in sorted({place.offset for place in places}))


def _place(row: Row) -> Place:
    return Place(row["hub"], row["partition"], row["offset"])
