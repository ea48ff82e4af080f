"""Texts that come while a model is being asked are asked together next. Edge: everything here happens in the loop.

A model of one's own answers eight texts in hardly more time than one (1.5 ms and 1.3 ms were measured), since most of
it is spent around the numbers. So requests never wait for others to come, but those that must wait anyway share the
next turn: the more is asked, the less each costs, and a stand-still is made up for in one turn. A model that asks
another service is not shared: its turn would last as long as the slowest answer.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pegel.serving.call import Call
from pegel.serving.served_model import ServedModel
from pegel.serving.work import Work

MAX_TEXTS = 64
"""In one turn; a request that has more has a turn of its own."""

PATIENCE_SECONDS = 0.25
"""A turn that lasts longer holds nobody else up: the next one begins beside it."""

Answer = Callable[[ServedModel, Sequence[Call]], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    model: ServedModel
    calls: list[Call]
    future: asyncio.Future[None]


class Gathering:
    """Takes requests and gives them turns.

    Args:
        answer: asks a model about calls and settles them; runs in a thread and raises nothing.
        work: the threads.
        clock: seconds that never go back.
    """

    def __init__(self, answer: Answer, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._answer = answer
        self._work = work
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._turns: dict[asyncio.Future[None], float] = {}

    def begin(self, model: ServedModel, calls: list[Call]) -> asyncio.Future[None]:
        """Have calls answered; the future is done when they are settled.

        Raises:
            RefusedError: 503 if too many are under way.
        """
        if not model.shares_turns:
            return self._work.begin(partial(self._answer, model, calls))
        self._work.check(len(self._waiting))
        waiting = _Waiting(model, calls, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        now = self._clock()
        if all(now - begun > PATIENCE_SECONDS for begun in self._turns.values()):
            self._next_turn()
        return waiting.future

    def _next_turn(self) -> None:
        if not self._waiting:
            return
        model, texts = self._waiting[0].model, 0
        taken: list[_Waiting] = []
        while self._waiting and self._waiting[0].model is model:
            texts += len(self._waiting[0].calls)
            if taken and texts > MAX_TEXTS:
                break
            taken.append(self._waiting.popleft())
        calls = [call for one in taken for call in one.calls]
        turn = self._work.begin(partial(self._answer, model, calls))
        self._turns[turn] = self._clock()
        turn.add_done_callback(partial(self._ended, taken))

    def _ended(self, taken: list[_Waiting], turn: asyncio.Future[None]) -> None:
        del self._turns[turn]
        for one in taken:
            if not one.future.done():
                one.future.set_result(None)
        self._next_turn()
