"""Promoters that race for the champion on a real registry and a real table lose no move, and none unvalidated serves.

A seed gives who takes part, what each expects, what its clock says, where it is killed, and in which order their calls
to the stores come; so a race that fails can be run again.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from equipment import promoting_process
from equipment.promotion_race import Promoter, race

from pegel.lifecycle.promotion import FIRST, PROMOTED, UNDER_WAY, Promotion, moves_of, promote
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PASSED, VALIDATION_PENDING
from pegel.serving import champion as serving_champion
from pegel.serving.champion import Champion

SEED = int(os.environ.get("PEGEL_SOAK_SEED", "0"))
VALIDATED = 6


@pytest.fixture
def contested(undeployed: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """A model with six versions that have passed their validation, of which the first serves, and two that have not."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name)
    made = undeployed(name)
    made.registry.prepare_store()
    client, model = made.registry.client, made.registry.model
    client.create_registered_model(model)
    for validation in [VALIDATION_PASSED] * VALIDATED + [VALIDATION_PENDING] * 2:
        client.create_model_version(model, f"file:///versions/{model}", tags={TAG_VALIDATION: validation})
    promote(made.registry, made.tables, Promotion(None, "1", "a person", FIRST), now=made.clock())
    return made


class Races:
    """Races one after the other, and what must be true after each turn and each race."""

    def __init__(self, contested: Any, champion: Champion) -> None:
        self.registry, self.tables = contested.registry, contested.tables
        self.champion = champion
        self.model = contested.registry.model
        self.now = contested.clock()
        self.outcomes: dict[str, str] = {"a person": "moved"}
        self.served: set[str] = set()
        self.late: set[str] = set()
        """Those whose clock says that the others have slept for as long as a move may take."""

    def run(self, seed: int) -> None:
        random = Random(seed)
        self.now += 2 * UNDER_WAY
        before = self.registry.champion()
        promoters = self._promoters(seed, before, random)
        race(promoters, self.registry, self.tables.root, random, self._look)
        for promoter in promoters:
            if promoter.outcome == "killed" and random.random() < 0.5:
                self._repeat(promoter)
        self.outcomes |= {promoter.move.by: promoter.outcome for promoter in promoters}
        self._check(promoters)

    def run_in(self, processes: list[Any], number: int, random: Random) -> int:
        """One race of processes that all begin at once and expect the same champion; how many of them moved it."""
        self.now += timedelta(minutes=1)
        expected = self.registry.champion()
        others = [str(version) for version in range(1, VALIDATED + 1) if str(version) != expected]
        promoters = [
            Promoter(Promotion(expected, random.choice(others), f"process {number}:{n}", PROMOTED), self.now)
            for n in range(len(processes))
        ]
        for process, promoter in zip(processes, promoters, strict=True):
            told = {"move": asdict(promoter.move), "now": self.now.isoformat()}
            process.stdin.write(json.dumps(told) + "\n")
        for process, promoter in zip(processes, promoters, strict=True):
            promoter.outcome = process.stdout.readline().strip()
        self.outcomes |= {promoter.move.by: promoter.outcome for promoter in promoters}
        self._check(promoters)
        return sum(promoter.outcome == "moved" for promoter in promoters)

    def _promoters(self, seed: int, champion: str | None, random: Random) -> list[Promoter]:
        # One that sleeps while its move is given up, and then is killed right behind its alias, is beyond the promise.
        clocks, deaths = ([timedelta(), UNDER_WAY], 0.0) if random.random() < 0.5 else ([timedelta()], 0.4)
        made = []
        for number in range(random.randint(2, 4)):
            expected = champion if random.random() < 0.9 else str(random.randint(1, VALIDATED))
            new = random.choice([v for v in map(str, range(1, VALIDATED + 3)) if v != expected])
            skew = clocks[-1 if number else 0] + timedelta(seconds=random.uniform(-30, 30))
            dies_at = random.randint(1, 10) if random.random() < deaths else None
            made.append(Promoter(Promotion(expected, new, f"race {seed}:{number}", PROMOTED), self.now + skew, dies_at))
            if number and clocks[-1]:
                self.late.add(made[-1].move.by)
        return made

    def _look(self) -> None:
        if self.champion.poll():
            self.served.add(str(getattr(self.champion.current, "version", "")))
        assert int(self.registry.champion()) <= VALIDATED, "a version serves that has not passed its validation"

    def _repeat(self, promoter: Promoter) -> None:
        mine = self._rows()[-1]["by"] == promoter.move.by
        promoter.promote(self.registry, self.tables)
        assert promoter.outcome in ({"moved"} if mine else {"moved", "gave way", promoter.outcome})

    def _rows(self) -> list[dict[str, Any]]:
        return moves_of(self.tables, self.model)

    def _check(self, promoters: list[Promoter]) -> None:
        rows = self._rows()
        for row, after in pairwise(rows):
            if after["expected_version"] != row["new_version"]:
                passed_over = self.outcomes[row["by"]] in {"killed", "gave way"} or after["by"] in self.late
                assert passed_over, "a move that succeeded is lost"
                assert after["expected_version"] == row["expected_version"]
        authors = [row["by"] for row in rows]
        assert len(set(authors)) == len(authors), "a move is in the table twice"
        for promoter in promoters:
            if promoter.outcome == "moved":
                assert promoter.move.by in authors
            if int(promoter.move.new) > VALIDATED:
                assert promoter.outcome.startswith(("refused", "gave way", "killed"))
                assert promoter.move.by not in authors
            elif promoter.outcome.startswith("refused"):
                pytest.fail(promoter.outcome)
        self._check_aliases(rows[-1])

    def _check_aliases(self, newest: dict[str, Any]) -> None:
        champion = self.registry.champion()
        if self.outcomes[newest["by"]] == "moved":
            assert (champion, self.registry.previous() or "") == (newest["new_version"], newest["expected_version"])
        else:
            assert champion in {newest["new_version"], newest["expected_version"]}


@pytest.fixture
def champion(contested: Any, monkeypatch: pytest.MonkeyPatch) -> Champion:
    """What serves, but for the loading, which takes seconds."""

    def load(_: Any, version: str, *, stands_back: bool) -> Any:
        del stands_back
        return SimpleNamespace(version=version, is_alive=True)

    monkeypatch.setattr(serving_champion, "load_version", load)
    return Champion(contested.settings)


_SHORT = range(20)
_LONG = [pytest.param(range(start, start + 25), marks=pytest.mark.soak) for start in range(20, 520, 25)]


@pytest.mark.parametrize("seeds", [_SHORT, *_LONG], ids=lambda seeds: f"from{seeds.start}")
def test_seeded_promotion_races_lose_no_move_and_let_nothing_unvalidated_serve(
    contested: Any, champion: Champion, seeds: range
) -> None:
    races = Races(contested, champion)
    for seed in seeds:
        try:
            races.run(1000 * SEED + seed)
        except AssertionError as error:
            error.add_note(f"in the race of seed {1000 * SEED + seed}")
            raise
    found = {outcome.partition(":")[0] for outcome in races.outcomes.values()}
    assert {"moved", "gave way"} <= found, "the seeds have raced too little"
    assert len(races.served) >= 3
    assert all(int(version) <= VALIDATED for version in races.served)


@pytest.mark.soak
def test_processes_that_race_for_the_champion_lose_no_move(contested: Any, champion: Champion, tmp_path: Path) -> None:
    races, random = Races(contested, champion), Random(SEED)
    file = tmp_path / "settings.json"
    file.write_text(contested.settings.model_dump_json(), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen(
            [sys.executable, promoting_process.__file__, str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment,
        )
        for _ in range(4)
    ]  # fmt: skip
    try:
        assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 4
        moved = sum(races.run_in(processes, number, random) for number in range(40))
        assert moved == 40, "in each race one moves, and the others give way"
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
