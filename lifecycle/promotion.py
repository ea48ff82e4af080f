"""Move the champion: first a row in ``promotions``, then the aliases, then read back. Edge.

``promotions`` is the one table with several writers. The n-th move of a model is the transaction ``(promotions/MODEL,
n)``, so of two promoters that both count n moves one is refused, and a move that is repeated after a crash is one
row.
"""

from dataclasses import dataclass
from datetime import datetime

from pegel.errors import PegelError
from pegel.lifecycle.registry import Registry
from pegel.tables.delta import DeltaTables, Row

FIRST = "first"
PROMOTED = "promoted"
ROLLED_BACK = "rolled_back"


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

    Raises:
        ChampionMovedError: if the champion is another version than expected, or somebody else moves it now.
        OutsideError: if the registry or the storage fails; repeat the move.
    """
    champion = registry.champion()
    moves = moves_of(tables, registry.model)
    recorded = bool(moves) and _same(moves[-1], move)
    if champion != move.expected and not (recorded and champion == move.new):
        msg = (
            f"the champion of {registry.model!r} is {champion}, not {move.expected}, so {move.by} may not move it to "
            f"{move.new}; somebody else has moved it, and the decision rests on another champion"
        )
        raise ChampionMovedError(msg)
    if not recorded:
        row = {
            "model": registry.model,
            "expected_version": move.expected or "",
            "new_version": move.new,
            "at": now,
            "by": move.by,
            "reason": move.reason,
        }
        written = tables.append("promotions", [row], transaction=(f"promotions/{registry.model}", len(moves) + 1))
        if not written and not _same(moves_of(tables, registry.model)[-1], move):
            msg = f"somebody else moved the champion of {registry.model!r} at the same time; {move.by} gives way"
            raise ChampionMovedError(msg)
    registry.move_champion(move.new, move.expected)


def moves_of(tables: DeltaTables, model: str) -> list[Row]:
    """Every move of a model's champion, oldest first."""
    return sorted((row for row in tables.read("promotions") if row["model"] == model), key=lambda row: row["at"])


def _same(row: Row, move: Promotion) -> bool:
    there = row["expected_version"], row["new_version"], row["by"], row["reason"]
    return there == (move.expected or "", move.new, move.by, move.reason)
