"""Move the champion: first a row in ``promotions``, then the aliases, then read back. Edge.

``promotions`` is the one table with several writers, and it decides: the n-th move of a model is the transaction
``(promotions/MODEL, n)``, and a move is written only behind a row that leaves the champion which it expects. So of two
promoters that both count n moves one is refused, and a move that is repeated after a crash is one row. The registry
cannot compare before it sets an alias, so whoever has set one reads the table again and sets it to what the newest row
says: the last to write an alias writes what the table says, however long it slept before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from pegel.errors import OutsideError, PegelError
from pegel.lifecycle.registry import Registry
from pegel.tables.delta import DeltaTables, Row

FIRST = "first"
PROMOTED = "promoted"
ROLLED_BACK = "rolled_back"

UNDER_WAY = timedelta(minutes=10)
"""A row whose alias has not followed counts so long as a move under way: the registry's patience for all calls of a
move is shorter. Later its promoter is dead, or a person has set the alias back, and the alias is what counts. What this
cannot exclude: that a promoter which slept so long wakes up, moves the alias and sees nobody, between the last look at
the alias and the row of the one who takes over; then the later move counts."""


class ChampionMovedError(PegelError):
    """The champion is not the one that a decision rests on; the decision must be made again."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A move of the champion.

    Attributes:
        expected: the champion before; None if there is none.
        new: the champion after.
        by: who moves it: the incident and attempt, or a person.
        reason: :data:`FIRST`, :data:`PROMOTED` or :data:`ROLLED_BACK`.
    """

    expected: str | None
    new: str
    by: str
    reason: str


def promote(registry: Registry, tables: DeltaTables, move: Promotion, *, now: datetime) -> None:
    """Make ``move.new`` the champion if ``move.expected`` still is.

    Repeating a move that was cut off anywhere completes it; repeating a completed one changes nothing.

    Args:
        registry: of the model.
        tables: where ``promotions`` lies.
        move: what is moved, and on what the decision rests.
        now: aware UTC; only a clock of another promoter that is wrong by :data:`UNDER_WAY` matters.

    Raises:
        ChampionMovedError: if the champion is another version than expected, or somebody else moves it now.
        OutsideError: if the version has not passed its validation, or the registry or the storage fails; repeat the
            move.
    """
    registry.check_validated(move.new)
    # The alias first: a move that ends in between is then seen in the table, not missed in both.
    champion = registry.champion()
    moves = moves_of(tables, registry.model)
    recorded = bool(moves) and _same(moves[-1], move)
    if not (recorded and champion == move.new):
        _check_expected(registry.model, move, champion)
    if not recorded:
        _check_nobody_moves_it(registry.model, move, moves, now)
        if moves and moves[-1]["new_version"] != champion:
            # Perhaps it was not given up, and has got there meanwhile.
            _check_expected(registry.model, move, registry.champion())
        _record(registry.model, tables, move, moves, now)
    _let_aliases_follow(registry, tables, move)


def moves_of(tables: DeltaTables, model: str) -> list[Row]:
    """Every move of a model's champion, oldest first."""
    return sorted((row for row in tables.read("promotions") if row["model"] == model), key=lambda row: row["at"])


def _check_expected(model: str, move: Promotion, champion: str | None) -> None:
    if champion != move.expected:
        msg = (
            f"the champion of {model!r} is {champion}, not {move.expected}, so {move.by} may not move it to "
            f"{move.new}; somebody else has moved it, and the decision rests on another champion"
        )
        raise ChampionMovedError(msg)


def _check_nobody_moves_it(model: str, move: Promotion, moves: Sequence[Row], now: datetime) -> None:
    """The alias is what was expected; if the newest row begins there too, it may be about to move."""
    newest = moves[-1] if moves else None
    if newest is None or newest["new_version"] == move.expected:
        return
    # Either the alias has not followed yet, or somebody has set it back by hand; nothing tells which but the time.
    if newest["expected_version"] == (move.expected or "") and now < newest["at"] + UNDER_WAY:
        msg = (
            f"{newest['by']} moves the champion of {model!r} from {move.expected} to {newest['new_version']} since "
            f"{newest['at'].isoformat()}, so {move.by} may not move it to {move.new}; decide again when it has moved, "
            f"or {UNDER_WAY.total_seconds() / 60:.0f} minutes after that time if it does not"
        )
        raise ChampionMovedError(msg)


def _record(model: str, tables: DeltaTables, move: Promotion, moves: Sequence[Row], now: datetime) -> None:
    row = {
        "model": model,
        "expected_version": move.expected or "",
        "new_version": move.new,
        # The rows are put in order by it, and clocks of two machines differ.
        "at": max(now, moves[-1]["at"] + timedelta(microseconds=1)) if moves else now,
        "by": move.by,
        "reason": move.reason,
    }
    written = tables.append("promotions", [row], transaction=(f"promotions/{model}", len(moves) + 1))
    if not written and not _same(moves_of(tables, model)[-1], move):
        msg = f"somebody else moved the champion of {model!r} at the same time; {move.by} gives way"
        raise ChampionMovedError(msg)


def _let_aliases_follow(registry: Registry, tables: DeltaTables, move: Promotion) -> None:
    """Set the aliases to the newest row until it is the newest one still, then see whether this move counted."""
    moves = moves_of(tables, registry.model)
    while True:
        newest, failure = moves[-1], None
        try:
            registry.move_champion(newest["new_version"], newest["expected_version"] or None)
        except OutsideError as error:
            failure = error
        moves = moves_of(tables, registry.model)
        if moves[-1] != newest:
            # Whoever wrote the newer row may have set its aliases between two of these.
            continue
        if failure is not None:
            raise failure
        break
    later = next((after for row, after in pairwise(moves) if _same(row, move)), None)
    if later is not None and later["expected_version"] != move.new:
        msg = (
            f"the move of the champion of {registry.model!r} to {move.new} by {move.by} took so long that "
            f"{later['by']} took it for given up and moved it to {later['new_version']}; decide again"
        )
        raise ChampionMovedError(msg)


def _same(row: Row, move: Promotion) -> bool:
    there = row["expected_version"], row["new_version"], row["by"], row["reason"]
    return there == (move.expected or "", move.new, move.by, move.reason)
