from datetime import datetime, timedelta
from typing import Any

import pytest

from pegel.errors import OutsideError
from pegel.lifecycle.promotion import (
    FIRST,
    PROMOTED,
    ROLLED_BACK,
    UNDER_WAY,
    ChampionMovedError,
    Promotion,
    moves_of,
    promote,
)
from pegel.tables.delta import DeltaTables


class Aliases:
    """Stands in for the registry: two aliases, and a failure on demand."""

    model = "assistant"

    def __init__(self, champion: str | None = "1") -> None:
        self.aliases: dict[str, str | None] = {"champion": champion, "previous": None}
        self.fails = False

    def champion(self) -> str | None:
        return self.aliases["champion"]

    def check_validated(self, version: str) -> None:
        if version == "unvalidated":
            msg = "it may not serve"
            raise OutsideError(msg)

    def move_champion(self, version: str, previous: str | None) -> None:
        if self.fails:
            msg = "the registry is down"
            raise OutsideError(msg)
        self.aliases = {"champion": version, "previous": previous}


MOVE = Promotion("1", "2", "incident:1", PROMOTED)


def test_promotion_is_a_row_then_the_aliases(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases()
    promote(registry, tables, MOVE, now=start)
    assert registry.aliases == {"champion": "2", "previous": "1"}
    (row,) = moves_of(tables, "assistant")
    assert (row["expected_version"], row["new_version"], row["reason"]) == ("1", "2", PROMOTED)


def test_promotion_that_was_cut_off_is_completed_once(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases()
    registry.fails = True
    with pytest.raises(OutsideError):
        promote(registry, tables, MOVE, now=start)
    registry.fails = False
    for _ in range(2):
        promote(registry, tables, MOVE, now=start)
    assert registry.aliases == {"champion": "2", "previous": "1"}
    assert len(moves_of(tables, "assistant")) == 1


def test_promotion_is_refused_if_the_champion_is_another(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases(champion="7")
    with pytest.raises(ChampionMovedError, match="is 7, not 1"):
        promote(registry, tables, MOVE, now=start)
    assert registry.aliases["champion"] == "7"
    assert moves_of(tables, "assistant") == []


def test_version_that_is_not_validated_leaves_no_row(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases()
    with pytest.raises(OutsideError, match="may not serve"):
        promote(registry, tables, Promotion("1", "unvalidated", "incident:1", PROMOTED), now=start)
    assert moves_of(tables, "assistant") == []


def test_move_whose_alias_has_not_followed_is_not_overtaken_until_its_promoter_counts_as_dead(
    tables: DeltaTables, start: datetime
) -> None:
    registry: Any = Aliases()
    registry.fails = True
    with pytest.raises(OutsideError):
        promote(registry, tables, MOVE, now=start)
    registry.fails = False
    other = Promotion("1", "3", "incident:2", PROMOTED)
    with pytest.raises(ChampionMovedError, match="incident:1 moves the champion"):
        promote(registry, tables, other, now=start + UNDER_WAY - timedelta(seconds=1))
    promote(registry, tables, other, now=start + UNDER_WAY)
    assert registry.aliases == {"champion": "3", "previous": "1"}
    with pytest.raises(ChampionMovedError, match="is 3, not 1"):
        promote(registry, tables, MOVE, now=start + UNDER_WAY)
    assert registry.aliases["champion"] == "3"


def test_promoter_that_wakes_up_too_late_sets_the_aliases_to_what_the_table_says(
    tables: DeltaTables, start: datetime
) -> None:
    class Asleep(Aliases):
        """Sleeps before its first alias until another promoter has taken its move for given up."""

        def move_champion(self, version: str, previous: str | None) -> None:
            if not self.woken:
                self.woken = True
                promote(self, tables, Promotion("1", "3", "incident:2", PROMOTED), now=start + UNDER_WAY)  # type: ignore[arg-type]
            super().move_champion(version, previous)

    registry: Any = Asleep()
    registry.woken = False
    with pytest.raises(ChampionMovedError, match="took it for given up"):
        promote(registry, tables, MOVE, now=start)
    assert registry.aliases == {"champion": "3", "previous": "1"}


def test_moves_keep_their_order_whatever_the_clocks_say(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases()
    promote(registry, tables, MOVE, now=start)
    promote(registry, tables, Promotion("2", "3", "incident:2", PROMOTED), now=start - timedelta(hours=1))
    assert [row["new_version"] for row in moves_of(tables, "assistant")] == ["2", "3"]


def test_first_promotion_expects_no_champion(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases(champion=None)
    promote(registry, tables, Promotion(None, "1", "a person", FIRST), now=start)
    assert registry.aliases == {"champion": "1", "previous": None}
    assert moves_of(tables, "assistant")[0]["expected_version"] == ""


def test_promotion_rollback_and_second_promotion_are_three_rows(tables: DeltaTables, start: datetime) -> None:
    registry: Any = Aliases()
    promote(registry, tables, MOVE, now=start)
    promote(registry, tables, Promotion("2", "1", "incident:1", ROLLED_BACK), now=start.replace(hour=4))
    promote(registry, tables, Promotion("1", "3", "incident:2", PROMOTED), now=start.replace(hour=5))
    assert [row["new_version"] for row in moves_of(tables, "assistant")] == ["2", "1", "3"]
    assert registry.aliases == {"champion": "3", "previous": "1"}


def test_of_two_promoters_at_once_one_gives_way(tables: DeltaTables, start: datetime) -> None:
    class Overtaken(DeltaTables):
        """Lets another promoter write between this one's count and its append."""

        def append(self, name: str, rows: Any, transaction: Any = None) -> bool:
            tables.append(name, [{**rows[0], "new_version": "9", "by": "another"}], transaction)
            return super().append(name, rows, transaction)

    registry: Any = Aliases()
    with pytest.raises(ChampionMovedError, match="gives way"):
        promote(registry, Overtaken(tables._root), MOVE, now=start)
    assert [row["new_version"] for row in moves_of(tables, "assistant")] == ["9"]
    assert registry.aliases["champion"] == "1"


def test_commit_is_refused_if_another_process_wins_between_check_and_commit(
    tables: DeltaTables, start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pegel.tables import delta

    write = delta.write_deltalake
    other = DeltaTables(tables._root)

    def overtaken(target: Any, data: Any, **options: Any) -> None:
        monkeypatch.setattr(delta, "write_deltalake", write)
        row = {"model": "assistant", "expected_version": "1", "new_version": "9", "at": start, "by": "x", "reason": "p"}
        assert other.append("promotions", [row], ("promotions/assistant", 1))
        write(target, data, **options)

    monkeypatch.setattr(delta, "write_deltalake", overtaken)
    registry: Any = Aliases()
    with pytest.raises(OutsideError, match="promotions"):
        promote(registry, tables, MOVE, now=start)
    assert [row["new_version"] for row in moves_of(tables, "assistant")] == ["9"]
    assert registry.aliases["champion"] == "1"
