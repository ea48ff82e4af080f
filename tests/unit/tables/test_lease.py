"""The lease of the tables: one holder, free when it was let go or its holder is gone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pegel.tables.lease import FREE_AFTER_SECONDS, PATH, Lease
from pegel.tables.owned import OwnedTables


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 25, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


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
    clock.sleep(FREE_AFTER_SECONDS)
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


def test_a_new_stream_does_not_wait_for_one_that_was_killed(lease) -> None:
    killed, following = lease("stream"), lease("stream")
    killed.take_over()
    following.take_over()
    assert following.holder() is None
    # The old one's end does not take it away.
    killed.release()
    assert lease("erase").holder() == "stream"
