"""Promoters of one model that take turns at their calls to the real stores, in an order that a seed gives."""

import threading
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from pegel.errors import OutsideError
from pegel.lifecycle.promotion import ChampionMovedError, Promotion, promote
from pegel.lifecycle.registry import Registry
from pegel.tables.delta import DeltaTables

GATED = ("get_model_version_by_alias", "set_registered_model_alias")
"""The calls to MLflow between which others get their turn; a version's tags never change in a race."""


class Killed(BaseException):
    """The promoter's process ends here: nothing of it runs any more."""


class Gate:
    """Lets a promoter go on from one outside call to the next, whenever it is its turn."""

    def __init__(self, dies_at: int | None) -> None:
        self.ended = False
        self._dies_at = dies_at
        self._passed = 0
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)

    def wait(self) -> None:
        """Called by the promoter before each outside call."""
        self._paused.release()
        self._go.acquire()
        self._passed += 1
        if self._passed == self._dies_at:
            raise Killed

    def run(self, work: Callable[[], None]) -> None:
        """Called in the promoter's thread."""
        self._go.acquire()
        try:
            work()
        finally:
            self.ended = True
            self._paused.release()

    def turn(self) -> None:
        """Called by whoever gives the turns: one call, up to the next one."""
        self._go.release()
        assert self._paused.acquire(timeout=60)


class GatedTables(DeltaTables):
    """The tables of one promoter."""

    gate: Gate

    def read(self, name: str, sql: str = "SELECT * FROM t") -> list[dict[str, Any]]:
        self.gate.wait()
        return super().read(name, sql)

    def append(self, name: str, rows: Any, transaction: tuple[str, int] | None = None) -> bool:
        self.gate.wait()
        return super().append(name, rows, transaction)


class GatedClient:
    """The MLflow client of one promoter."""

    def __init__(self, client: Any, gate: Gate) -> None:
        self._client, self._gate = client, gate

    def __getattr__(self, name: str) -> Any:
        if name in GATED:
            self._gate.wait()
        return getattr(self._client, name)


@dataclass
class Promoter:
    """One who wants to move the champion.

    Attributes:
        move: what it has decided.
        now: what its clock says.
        dies_at: the outside call before which it is killed; None never.
        outcome: ``moved``, ``gave way``, ``refused`` or ``killed``.
    """

    move: Promotion
    now: datetime
    dies_at: int | None = None
    outcome: str = ""
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.dies_at)

    def start(self, registry: Registry, root: str) -> threading.Thread:
        """Begin; the first call waits for its turn."""
        mine, tables = copy(registry), GatedTables(root)
        mine.client, tables.gate = GatedClient(registry.client, self.gate), self.gate
        thread = threading.Thread(target=self.gate.run, args=(lambda: self.promote(mine, tables),), daemon=True)
        thread.start()
        return thread

    def promote(self, registry: Registry, tables: DeltaTables) -> None:
        """Move as a retraining does: what is down is tried again."""
        try:
            for _ in range(5):
                try:
                    promote(registry, tables, self.move, now=self.now)
                except OutsideError as error:
                    self.outcome = f"refused: {error}"
                    continue
                self.outcome = "moved"
                return
        except ChampionMovedError:
            self.outcome = "gave way"
        except Killed:
            self.outcome = "killed"


def race(
    promoters: list[Promoter], registry: Registry, root: str, random: Random, after_turn: Callable[[], None]
) -> None:
    """Let them all run to their end, one outside call at a time; ``after_turn`` looks at the world after each."""
    threads = [promoter.start(registry, root) for promoter in promoters]
    favourite = promoters[0]
    while running := [promoter for promoter in promoters if not promoter.gate.ended]:
        # One often makes several calls in a row, so that another's sleep is long enough to be overtaken in.
        if favourite not in running or random.random() < 0.2:
            favourite = random.choice(running)
        favourite.gate.turn()
        after_turn()
    for thread in threads:
        thread.join(60)
