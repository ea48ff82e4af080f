"""An answer piece by piece as server-sent events: ``delta`` …, then ``answer`` or ``problem``. Edge.

The pieces come from a thread that asks the model. When the caller hangs up, the model is asked for no more, and the
event says so and what had been said. Where the usage policy might hold an answer back, no piece goes out before all of
them have come and the policy has decided.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from pegel.serving.asking import ask_in_pieces
from pegel.serving.call import Call
from pegel.serving.http_answers import answered, problem_of
from pegel.serving.openapi_description import EVENT_STREAM
from pegel.serving.refusal import Refusal
from pegel.serving.requests import Delta, PredictAnswer
from pegel.serving.served_model import ServedModel
from pegel.serving.service import Serving, time_limit
from pegel.serving.work import Work

HUNG_UP = "client_disconnected"
"""The error type of the event of an answer that nobody waited for."""


class EventStream:
    """One answer on its way to one caller; everything but :meth:`_ask` happens in the loop.

    Args:
        serving: settles the call.
        model: the version that is asked.
        call: what is asked.
        told: is called with the status when the answer has begun or is refused.
    """

    def __init__(self, serving: Serving, model: ServedModel, call: Call, told: Callable[[int], None]) -> None:
        self._serving = serving
        self._model = model
        self._call = call
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._nobody_waits = threading.Event()
        self._deadline = self._loop.time() + serving.settings.serving.answer_seconds

    async def respond(self, work: Work) -> Response:
        """Begin to ask, and answer when the first piece or the end has come; a refusal keeps its own status.

        Raises:
            RefusedError: 503 if too many are under way.
        """
        if self._call.outcome is None:
            work.begin(self._ask)
            first = await self._next()
        else:
            first = None
        if first is None and not isinstance(self._call.outcome, PredictAnswer):
            response = answered(self._call)
            self._told(response.status_code)
            return response
        self._told(200)
        return StreamingResponse(self._events(first), media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})

    def _ask(self) -> None:
        held_back = self._serving.gate.policy.may_hold_back
        pieces = ask_in_pieces(self._model, self._call, self._serving.arounds)
        try:
            for piece in pieces:
                if self._nobody_waits.is_set():
                    pieces.close()
                    self._call.error_type = HUNG_UP
                    break
                if not held_back:
                    self._give(piece)
        finally:
            self._serving.settle(self._call)
            outcome = self._call.outcome
            if held_back and isinstance(outcome, PredictAnswer) and outcome.output:
                self._give(outcome.output)
            self._give(None)

    def _give(self, piece: str | None) -> None:
        # After the end of the loop there is nobody to give it to.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

    async def _next(self) -> str | None:
        """The next piece; None at the end, which may be that of the time limit."""
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._pieces.get()
        except TimeoutError:
            self._nobody_waits.set()
            limit = time_limit(self._serving.settings.serving.answer_seconds, self._call.event_id)
            self._serving.give_up(self._call, limit.reason, limit)
            return None

    async def _events(self, first: str | None) -> AsyncIterator[str]:
        try:
            piece = first
            while piece is not None:
                yield _event("delta", Delta(delta=piece))
                piece = await self._next()
            outcome = self._call.outcome
            if isinstance(outcome, PredictAnswer):
                yield _event("answer", outcome)
            elif isinstance(outcome, Refusal):
                yield _event("problem", problem_of(outcome))
        finally:
            self._nobody_waits.set()


def _event(kind: str, content: BaseModel) -> str:
    return f"event: {kind}\ndata: {content.model_dump_json()}\n\n"
