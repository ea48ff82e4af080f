"""The routes of ``/predict`` and ``/feedback``: first who asks, then what, then the answer. Edge.

FastAPI would read and check a body before it knows who sent it, and say so to whoever asks. So these routes take the
request as it is, and :mod:`pegel.serving.openapi_description` describes what they take.
"""

import time

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pegel.schemas.usage_policy import CallerRule
from pegel.serving.authentication import KEY_HEADER
from pegel.serving.call import Call
from pegel.serving.event_stream import EventStream
from pegel.serving.gate import NOBODY
from pegel.serving.gathering import Gathering
from pegel.serving.http_answers import JSON, answered, answered_all, parse_feedback, parse_predict, refused
from pegel.serving.metrics import NO_VERSION
from pegel.serving.refusal import Reason, Refusal, RefusedError
from pegel.serving.requests import BatchRequest
from pegel.serving.served_model import ServedModel
from pegel.serving.service import Serving, time_limit
from pegel.serving.trail import FEEDBACK, PREDICT
from pegel.serving.work import Work, within


class Routes:
    """What answers requests.

    Args:
        serving: what happens to them.
        work: the threads in which models are asked.
    """

    def __init__(self, serving: Serving, work: Work) -> None:
        self._serving = serving
        self._work = work
        self._gathering = Gathering(serving.answer, work)
        self._limits = serving.settings.serving

    async def predict(self, request: Request) -> Response:
        """Answer one text, or several, or one piece by piece."""
        seen = _Seen(self._serving)
        try:
            caller = await self._caller(request, PREDICT)
            seen.caller = caller.name
            return await self._predict(request, caller, seen)
        except RefusedError as error:
            seen.told(error.refusal.status)
            return self._refused(seen.caller, error, PREDICT)

    async def feedback(self, request: Request) -> Response:
        """Take what an earlier prediction should have been."""
        name = NOBODY
        try:
            caller = await self._caller(request, FEEDBACK)
            name = caller.name
            given = parse_feedback(await _body(request), request.headers.get("content-type", ""))
        except RefusedError as error:
            return self._refused(name, error, FEEDBACK)
        answer = self._serving.take_feedback(caller, given)
        return Response(answer.model_dump_json(), 202, media_type=JSON)

    def _refused(self, caller: str, error: RefusedError, action: str) -> Response:
        if not error.recorded:
            self._serving.gate.refused(caller, error.refusal, action=action)
        return refused(error.refusal)

    async def _caller(self, request: Request, action: str) -> CallerRule:
        headers, gate = request.headers, self._serving.gate
        key, authorization = headers.get(KEY_HEADER), headers.get("authorization")
        if gate.authentication.waits(key, authorization):
            return await run_in_threadpool(gate.identify, key, authorization, action)
        return gate.identify(key, authorization, action)

    async def _predict(self, request: Request, caller: CallerRule, seen: "_Seen") -> Response:
        given = parse_predict(await _body(request), request.headers.get("content-type", ""))
        if isinstance(given, BatchRequest):
            if len(given.inputs) > self._limits.max_batch_inputs:
                detail = (
                    f"{len(given.inputs)} inputs are more than the {self._limits.max_batch_inputs} allowed; send less"
                )
                raise RefusedError(Refusal(413, Reason.TOO_LARGE.value, detail))
            model, calls = self._serving.prepare(caller, given.purpose, given.inputs)
        else:
            model, calls = self._serving.prepare(caller, given.purpose, [given])
            if given.stream:
                seen.version = model.version
                return await EventStream(self._serving, model, calls[0], seen.told).respond(self._work)
        seen.version = model.version
        await self._answer(model, calls)
        response = answered_all(calls) if isinstance(given, BatchRequest) else answered(calls[0])
        seen.told(response.status_code)
        return response

    async def _answer(self, model: ServedModel, calls: list[Call]) -> None:
        if all(call.outcome is not None for call in calls):
            return
        if not await within(self._gathering.begin(model, calls), self._limits.answer_seconds):
            for call in calls:
                if call.outcome is None:
                    limit = time_limit(self._limits.answer_seconds, call.event_id)
                    self._serving.give_up(call, limit.reason, limit)


class _Seen:
    """What is counted of one request."""

    def __init__(self, serving: Serving) -> None:
        self._begin = time.perf_counter()
        self._metrics = serving.gate.metrics
        self.caller, self.version = NOBODY, NO_VERSION

    def told(self, status: int) -> None:
        self._metrics.answered(self.caller, self.version, status, time.perf_counter() - self._begin)


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        detail = "the caller hung up before the body was there"
        raise RefusedError(Refusal(400, Reason.NOT_A_REQUEST.value, detail)) from None
