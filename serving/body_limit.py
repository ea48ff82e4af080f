"""Refuse a body that is larger than any valid request, or takes too long, before it is in memory. Edge: ASGI."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pegel.serving.http_answers import refused
from pegel.serving.refusal import Reason, Refusal


class _RefusedBodyError(Exception):
    pass


class BodyLimit:
    """Answers 413 as soon as a request announces or sends more than ``max_bytes``, and 408 to one that dawdles.

    Args:
        app: the application behind it.
        max_bytes: the most that a body may have.
        seconds: how long it may take to arrive.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await refused(self._too_large())(scope, receive, send)
            return
        body = _Body(self, receive, send)
        with suppress(_RefusedBodyError):
            await self._app(scope, body.receive, body.send)
        if body.refusal is not None:
            await refused(body.refusal)(scope, receive, send)

    def check(self, received: int) -> Refusal | None:
        """Why a body of which so many bytes have come is refused."""
        return self._too_large() if received > self._max_bytes else None

    async def next_part(self, receive: Receive, deadline: float) -> Message | Refusal:
        """The next part of a body, or why it is not waited for any longer."""
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError:
            detail = f"the body did not arrive within {self._seconds:g} s; send it faster, or a shorter text"
            return Refusal(408, Reason.TOO_SLOW.value, detail)

    def deadline(self) -> float:
        """When a body that begins now has to be there, on the clock of the loop."""
        return asyncio.get_running_loop().time() + self._seconds

    def _too_large(self) -> Refusal:
        detail = f"the body is larger than {self._max_bytes} bytes, which no valid request needs; send a shorter text"
        return Refusal(413, Reason.TOO_LARGE.value, detail)


class _Body:
    """The body of one request, counted and timed until it is complete."""

    def __init__(self, limit: BodyLimit, receive: Receive, send: Send) -> None:
        self.refusal: Refusal | None = None
        self._limit, self._receive, self._send = limit, receive, send
        self._received = 0
        self._complete = False
        self._deadline = limit.deadline()

    async def receive(self) -> Message:
        if self._complete:
            # What comes now is the news that the caller has hung up, and may take as long as the answer.
            return await self._receive()
        message = await self._limit.next_part(self._receive, self._deadline)
        if isinstance(message, Refusal):
            self.refusal = message
            raise _RefusedBodyError
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        self.refusal = self._limit.check(self._received)
        if self.refusal is not None:
            raise _RefusedBodyError
        return message

    async def send(self, message: Message) -> None:
        # Whatever is answered to an error while a body is read, the refusal is the true answer.
        if self.refusal is None:
            await self._send(message)
