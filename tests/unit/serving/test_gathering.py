"""Requests that wait for a model share its next turn; none waits for others to come."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pegel.serving.call import Call
from pegel.serving.gathering import MAX_TEXTS, PATIENCE_SECONDS, Gathering
from pegel.serving.refusal import RefusedError
from pegel.serving.work import Work, within

ONE, TWO, ALONE = (SimpleNamespace(version=v, shares_turns=s) for v, s in (("1", True), ("2", True), ("3", False)))


def calls_of(model: Any, *texts: str) -> list[Call]:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    return [Call(text, at, "assistant", model.version, text, {}, "shop") for text in texts]


class Turns:
    """Every turn waits until the test lets it end."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[str]]] = []
        self.go = threading.Event()
        self.clock = SimpleNamespace(now=0.0)
        self.work = Work(8, 100)
        self.gathering = Gathering(self._answer, self.work, lambda: self.clock.now)

    def _answer(self, model: Any, calls: Sequence[Call]) -> None:
        self.taken.append((model.version, [call.text for call in calls]))
        assert self.go.wait(20)

    def begin(self, model: Any, *texts: str) -> Any:
        return self.gathering.begin(model, calls_of(model, *texts))

    async def end(self, *futures: Any) -> list[tuple[str, list[str]]]:
        self.go.set()
        assert all([await within(future, 20) for future in futures])
        self.work.close()
        return self.taken


def test_what_waits_for_a_version_shares_its_next_turn_in_order() -> None:
    async def run() -> Any:
        turns = Turns()
        futures = [turns.begin(ONE, "a"), turns.begin(ONE, "b"), turns.begin(ONE, "c", "d"), turns.begin(TWO, "e")]
        return await turns.end(*futures, turns.begin(ONE, "f"))

    assert asyncio.run(run()) == [("1", ["a"]), ("1", ["b", "c", "d"]), ("2", ["e"]), ("1", ["f"])]


def test_a_turn_holds_no_more_texts_than_a_turn_may() -> None:
    async def run() -> Any:
        turns = Turns()
        large = [str(n) for n in range(MAX_TEXTS + 5)]
        futures = [turns.begin(ONE, "a"), turns.begin(ONE, *large), turns.begin(ONE, "b"), turns.begin(ONE, "c")]
        return await turns.end(*futures)

    assert [len(texts) for _, texts in asyncio.run(run())] == [1, MAX_TEXTS + 5, 2]


def test_a_turn_that_hangs_holds_nobody_up() -> None:
    async def run() -> Any:
        turns = Turns()
        futures = [turns.begin(ONE, "hangs"), turns.begin(ONE, "waits")]
        turns.clock.now += PATIENCE_SECONDS * 1.01
        futures.append(turns.begin(ONE, "comes"))
        while len(turns.taken) < 2:
            await asyncio.sleep(0)
        return await turns.end(*futures)

    assert asyncio.run(run()) == [("1", ["hangs"]), ("1", ["waits", "comes"])]


def test_a_model_that_asks_another_service_is_not_shared() -> None:
    async def run() -> Any:
        turns = Turns()
        return await turns.end(*[turns.begin(ALONE, text) for text in "abc"])

    assert sorted(asyncio.run(run())) == [("3", ["a"]), ("3", ["b"]), ("3", ["c"])]


@pytest.mark.parametrize("model", [ONE, ALONE])
def test_what_waits_counts_as_under_way(model: Any) -> None:
    async def run() -> None:
        turns = Turns()
        turns.work = Work(1, 3)
        turns.gathering = Gathering(turns._answer, turns.work, lambda: 0.0)
        futures = [turns.begin(model, text) for text in "abc"]
        with pytest.raises(RefusedError) as caught:
            turns.begin(model, "d")
        assert caught.value.refusal.status == 503
        await turns.end(*futures)

    asyncio.run(run())
