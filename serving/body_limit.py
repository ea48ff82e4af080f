"""Refuse a body that is larger than any valid request, before it is read into memory. Edge: ASGI."""

import json
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """Answers 413 as soon as a request announces or sends more than ``max_bytes``.

    Args:
        app: the application behind it.
        max_bytes: the most that a body may have.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refuse(send)
            return
        received, too_large = 0, False

        async def counted() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                too_large = True
                raise _TooLargeError
            return message

        async def unless_too_large(message: Message) -> None:
            # FastAPI answers 400 to any error while it reads a body; the refusal below is the true answer.
            if not too_large:
                await send(message)

        with suppress(_TooLargeError):
            await self._app(scope, counted, unless_too_large)
        if too_large:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        detail = f"the body is larger than {self._max_bytes} bytes, which no valid request needs; send a shorter text"
        body = json.dumps({"detail": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
