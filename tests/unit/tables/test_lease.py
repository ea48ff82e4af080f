"""The lease of the tables: one holder, free when it was let go or its holder is gone."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pegel.tables import lease as lease_module
from pegel.tables.lease import FREE_AFTER_SECONDS, LOOKS, PATH, SETTLE_SECONDS, Lease
from pegel.tables.owned import OwnedTables


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 25, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def of_an_ended_process() -> str:
    code = "from pegel.tables.processes import name_of_this; print(name_of_this())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tables(tmp_path: Path) -> OwnedTables:
    return OwnedTables(str(tmp_path))


@pytest.fixture
def lease(tables: OwnedTables, clock: Clock):
    made = []

    def make(kind: str) -> Lease:
        made.append(Lease(tables, kind, now=clock, sleep=clock.sleep))
        return made[-1]

    yield make
    for one in made:
        one.release()


def test_what_one_holds_no_other_takes_until_it_is_let_go(lease) -> None:
    stream, erase = lease("stream"), lease("erase")
    stream.take_over()
    assert erase.holder() == "stream"
    assert not erase.try_take()
    stream.release()
    assert erase.holder() is None
    assert erase.try_take()
    assert stream.holder() == "erase"
    assert erase.holder() is None


def test_the_lease_of_one_who_died_is_free_after_a_while(lease, clock: Clock) -> None:
    stream, erase = lease("stream"), lease("erase")
    stream.take_over()
    clock.sleep(FREE_AFTER_SECONDS - SETTLE_SECONDS)
    assert not erase.try_take()
    clock.sleep(1)
    assert erase.try_take()


def test_of_two_who_take_it_at_once_one_has_it(tables: OwnedTables, lease, clock: Clock) -> None:
    one, other = lease("erase"), lease("erase")

    def meanwhile(seconds: float) -> None:
        other._write()
        clock.sleep(seconds)

    one._sleep = meanwhile
    assert not one.try_take()
    assert other.holder() is None
    assert tables.read_json(PATH)["owner"] == other._owner


def test_the_lease_of_a_process_that_ended_is_free_at_once(tables: OwnedTables, lease) -> None:
    stream = lease("stream")
    stream.take_over()
    ended = tables.read_json(PATH) | {"owner": "another", "process": of_an_ended_process()}
    stream.release()
    tables.write_file(PATH, json.dumps(ended))
    assert lease("stream").holder() is None
    assert lease("erase").try_take()


def test_a_holder_of_this_machine_is_alive_at_the_first_look(lease) -> None:
    lease("stream").take_over()
    assert lease("stream").is_renewed(no_waiting)


def no_waiting(_seconds: float) -> bool:
    pytest.fail("there was nothing to wait for")


@pytest.mark.parametrize("look", [1, LOOKS])
@pytest.mark.parametrize(("change", "alive"), [("renewed", True), ("let go", False), ("none", False)])
def test_a_holder_of_another_machine_is_alive_if_it_is_seen_to_renew_the_lease(
    tables: OwnedTables, lease, clock: Clock, look: int, change: str, alive: bool
) -> None:
    said = {"owner": "another", "kind": "stream", "process": "another machine 7 7"}
    tables.write_file(PATH, json.dumps(said | {"renewed_at": clock().isoformat()}))
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        clock.sleep(seconds)
        waited.append(seconds)
        if len(waited) == look and change == "renewed":
            tables.write_file(PATH, json.dumps(said | {"renewed_at": clock().isoformat()}))
        if len(waited) == look and change == "let go":
            tables.delete_file(PATH)
        return False

    assert lease("stream").is_renewed(wait) is alive
    assert len(waited) == (LOOKS if change == "none" else look)
    # Longer than three renewals, and well below the minute within which a stream must be ready.
    assert lease_module.RENEW_SECONDS * 3 <= LOOKS * lease_module.LOOK_SECONDS <= 20


def test_who_is_taken_for_dead_learns_it_and_does_not_take_the_lease_away(
    lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.02)
    slow, following = lease("stream"), lease("stream")
    assert slow.take_over()
    assert not slow.lost.is_set()
    assert following.take_over()
    assert slow.lost.wait(30)
    slow.release()
    assert lease("erase").holder() == "stream"
    assert not following.lost.is_set()


def test_a_lease_can_be_taken_before_there_is_any_table(tmp_path: Path, clock: Clock) -> None:
    lease = Lease(OwnedTables(str(tmp_path / "not" / "there")), "stream", now=clock, sleep=clock.sleep)
    assert lease.holder() is None
    assert lease.try_take()
    lease.release()
