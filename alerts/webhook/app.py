"""The intake: ``POST /alerts/azure`` for Azure's action group, three doors for who signs what it sends. Edge.

The doors of signers are ``/alerts/signed`` for alerts, ``/approvals`` and ``/silences`` for what persons decide.

An action group tries again only after 408, 429, 503, 504 and broken connections, so that whatever goes wrong on this
side is answered with 503, and a call is stored before it is answered with 202. Who is not let in is not told why: the
reason is in the log and in the audit trail.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pegel.alerts.webhook.call import CallError, WebhookCall, parse_approval, parse_call, parse_event
from pegel.alerts.webhook.call_records import CALL
from pegel.alerts.webhook.description import APPROVED, EVENT, RESPONSES, SILENCED, TAKES, Health, Taken, describe
from pegel.alerts.webhook.intake import Accepted, Intake
from pegel.alerts.webhook.signed_caller import SignedCallerCheck
from pegel.alerts.webhook.silencing import Answer, Silencing, parse_wish
from pegel.conf.bearer_token import TokenCheck, TokenError
from pegel.tables.audit import AuditTrail

_log = logging.getLogger(__name__)

AZURE, SIGNED, APPROVALS, SILENCES = "/alerts/azure", "/alerts/signed", "/approvals", "/silences"

MAX_BODY_BYTES = 256 * 1024
"""The largest common alert, as the vendor says."""
BODY_SECONDS = 5


_NOT_LET_IN = "the call is not let in"


class _Refused(Exception):  # noqa: N818 - an answer, not an error
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason

    def response(self) -> JSONResponse:
        stranger = self.status in (401, 403)
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else None
        return JSONResponse({"detail": _NOT_LET_IN if stranger else self.reason}, self.status, headers)


def create_app(
    intake: Intake,
    tokens: TokenCheck,
    on_start: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
    *,
    trail: AuditTrail | None = None,
    signatures: SignedCallerCheck | None = None,
    approvers: SignedCallerCheck | None = None,
    silencing: Silencing | None = None,
) -> FastAPI:
    """The application.

    Args:
        intake: what happens to a call that was let in.
        tokens: whose calls are let in.
        on_start: called when the application starts.
        on_stop: called when it stops.
        trail: where calls that are not let in are recorded; the intake records the others.
        signatures: whose signed calls are let in; without it there is no such door.
        approvers: whose approvals are let in, and wishes to hear nothing; likewise.
        silencing: what happens to these wishes.
    """

    @asynccontextmanager
    async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
        on_start()
        yield
        await run_in_threadpool(on_stop)

    # No pages about the interface: it has one caller, and whoever else finds it needs no help.
    app = FastAPI(title="Pegel webhook", lifespan=_lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def _health() -> Health:
        return Health(status="ok", waiting=intake.how_many_wait)

    @app.post(AZURE, status_code=202, response_model=Taken, responses=RESPONSES, openapi_extra=TAKES)
    async def _azure(request: Request) -> JSONResponse:
        return await _answered(_take_azure(request, intake, tokens), AZURE, trail)

    if signatures is not None:

        @app.post(SIGNED, status_code=202, response_model=Taken, responses=RESPONSES, openapi_extra=EVENT)
        async def _signed(request: Request) -> JSONResponse:
            return await _answered(_take_signed(request, intake, signatures), SIGNED, trail)

    if approvers is not None:

        @app.post(APPROVALS, status_code=202, response_model=Taken, responses=RESPONSES, openapi_extra=APPROVED)
        async def _approved(request: Request) -> JSONResponse:
            return await _answered(_take_approval(request, intake, approvers), APPROVALS, trail)

    if approvers is not None and silencing is not None:

        @app.post(SILENCES, status_code=202, response_model=Taken, responses=RESPONSES, openapi_extra=SILENCED)
        async def _silenced(request: Request) -> JSONResponse:
            return await _answered(_take_wish(request, silencing, approvers), SILENCES, trail)

    describe(app)
    return app


async def _answered(taking: Awaitable[JSONResponse], path: str, trail: AuditTrail | None) -> JSONResponse:
    """Whatever becomes of a call, as an answer; what is refused is logged and recorded."""
    try:
        return await taking
    except _Refused as refused:
        answer = refused
    except TokenError as error:
        answer = _Refused(error.status, error.reason)
    except CallError as error:
        answer = _Refused(400, str(error))
    except ClientDisconnect:
        answer = _Refused(408, "the caller hung up")
    except Exception as error:
        _log.exception("a call could not be taken: %s", type(error).__name__)
        answer = _Refused(503, "the call could not be taken now, come again")
    _log.warning("a call of %s was answered with %d: %s", path, answer.status, answer.reason)
    if trail is not None:
        # Not waited for: whoever floods this door must not make a commit with each knock.
        trail.put(
            actor="a caller that was not let in", action=CALL, subject=path, decision="refused",
            reason=answer.reason, evidence={"status": answer.status},
        )  # fmt: skip
    return answer.response()


async def _take_azure(request: Request, intake: Intake, tokens: TokenCheck) -> JSONResponse:
    # The token first: of who is not let in, no body is read.
    await run_in_threadpool(tokens.check, request.headers.get("authorization"))
    return await _stored(intake, await _body(request), parse_call)


async def _take_signed(request: Request, intake: Intake, signatures: SignedCallerCheck) -> JSONResponse:
    return await _stored(intake, await _signed_body(request, signatures), parse_event)


async def _take_approval(request: Request, intake: Intake, approvers: SignedCallerCheck) -> JSONResponse:
    approval = parse_approval(await _signed_body(request, approvers))
    return _answer(await run_in_threadpool(intake.approve, approval))


async def _take_wish(request: Request, silencing: Silencing, approvers: SignedCallerCheck) -> JSONResponse:
    asked = parse_wish(await _signed_body(request, approvers))
    return _answer(await run_in_threadpool(silencing.take, asked))


async def _signed_body(request: Request, signatures: SignedCallerCheck) -> bytes:
    body = await _body(request)
    await run_in_threadpool(signatures.check, request.headers, body)
    return body


async def _stored(intake: Intake, body: bytes, read: Callable[[bytes], WebhookCall]) -> JSONResponse:
    return _answer(await run_in_threadpool(intake.accept, body, read))


def _answer(accepted: Accepted | Answer) -> JSONResponse:
    return JSONResponse({"outcome": accepted.outcome, "detail": accepted.detail}, accepted.status)


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
        raise _Refused(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise _Refused(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    except TimeoutError:
        raise _Refused(408, f"the body did not arrive within {BODY_SECONDS} s") from None
    return bytes(body)
