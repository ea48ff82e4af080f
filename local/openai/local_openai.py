"""The resource: its deployments, limits and keys, and which request goes where. Edge: listens on a socket."""

import asyncio
import json
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pegel.local.openai.chat import Completion, complete
from pegel.local.openai.faults import ApiError, Fault, access_denied, invalid, no_deployment, scripted, too_many
from pegel.local.openai.learner import Example
from pegel.local.openai.rate_limit import RateLimit
from pegel.local.openai.requests import chat_request
from pegel.local.openai.resource_manager import DATA, MANAGEMENT, Identity, ResourceManager
from pegel.local.openai.training import Training

ACCOUNT = "00000000-0000-0000-0000-000000000000/local/openai"
"""Subscription, resource group and account."""

_STOP_SECONDS = 10
_LOOK_SECONDS = 0.02
_NO_FAULT = Fault()


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment.

    Attributes:
        model: what it runs.
        requests_per_minute: how many it takes; None for any number.
        filters_beside: whether its filters run beside a stream, as with the asynchronous filter.
    """

    model: str
    requests_per_minute: int | None = None
    filters_beside: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """What was answered: without the bodies, since prompts are long."""

    method: str
    path: str
    status: int


class LocalOpenAi:
    """Takes its port when it is made, serves from :meth:`start` to :meth:`stop`.

    Args:
        deployments: name -> deployment.
        api_key: the key that may call; tokens of :attr:`identity` may too.
        base_models: what can be fine-tuned.
        clock: of the rate limits, in seconds.
        port: 0 lets the system choose.

    Attributes:
        calls: every answered call, in order.
        training: files and fine-tuning jobs.
        manager: deployments by Azure Resource Manager.
        identity: gives Entra tokens.
    """

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        api_key: str,
        *,
        base_models: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
        port: int = 0,
    ) -> None:
        self._deployments = dict(deployments)
        self._api_key = api_key
        self._limits = {
            name: RateLimit(deployment.requests_per_minute, clock)
            for name, deployment in deployments.items()
            if deployment.requests_per_minute is not None
        }
        self._faults: deque[Fault] = deque()
        self._asked = 0
        self.calls: list[Call] = []
        self.training = Training(tuple(base_models))
        self.manager = ResourceManager(ACCOUNT)
        self.identity = Identity(secrets.token_urlsafe(16))
        self._socket = socket.create_server(("127.0.0.1", port))
        # asyncio does it only where the protocol is named; head and body of an answer would wait 40 ms for each other.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self._app(), log_config=None, log_level="critical", access_log=False, lifespan="off",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="local-openai", daemon=True
        )

    @property
    def host(self) -> str:
        """Scheme, address and port; also the base of the management and identity endpoints."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"{self.host}/openai/v1/"

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and give the port back; also right if it was never started."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self._socket.close()

    def script(self, *faults: Fault) -> None:
        """Let the next chat completions go wrong, one fault each."""
        self._faults.extend(faults)

    def _app(self) -> Starlette:
        routes = [
            Route("/openai/v1/chat/completions", self._route(self._chat, DATA), methods=["POST"]),
            Route("/openai/v1/models", self._route(self._models, DATA), methods=["GET"]),
            Route("/openai/v1/files", self._route(self._files, DATA), methods=["GET", "POST"]),
            Route("/openai/v1/files/{id}", self._route(self._file, DATA), methods=["GET"]),
            Route("/openai/v1/fine_tuning/jobs", self._route(self._jobs, DATA), methods=["GET", "POST"]),
            Route("/openai/v1/fine_tuning/jobs/{id}", self._route(self._job, DATA), methods=["GET"]),
            Route("/openai/v1/fine_tuning/jobs/{id}/cancel", self._route(self._cancel, DATA), methods=["POST"]),
            Route("/subscriptions/{rest:path}", self._route(self._manage, MANAGEMENT), methods=["GET", "PUT"]),
            Route("/msi/token", self._route(self._token, None), methods=["GET"]),
        ]
        return Starlette(routes=routes)

    def _route(self, handle: Callable[[Request], Any], resource: str | None) -> Callable[[Request], Any]:
        """Check who calls, answer, and say a refusal as the service does."""

        async def endpoint(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                if resource is not None and not self._may_call(request, resource):
                    raise access_denied()
                response: Response = await handle(request)
            except ApiError as refused:
                response, headers = JSONResponse({"error": refused.body}, refused.status), refused.headers
            identity = secrets.token_hex(16)
            response.headers.update({**headers, "x-request-id": identity, "apim-request-id": identity})
            self.calls.append(Call(request.method, request.url.path, response.status_code))
            return response

        return endpoint

    def _may_call(self, request: Request, resource: str) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else ""
        if self.identity.is_for(bearer, resource):
            return True
        given = bearer or request.headers.get("api-key", "")
        return resource == DATA and secrets.compare_digest(given.encode(), self._api_key.encode())

    async def _chat(self, request: Request) -> Response:
        fault = self._faults.popleft() if self._faults else _NO_FAULT
        if fault.hang:
            await self._hang(request)
        if fault.status:
            raise scripted(fault)
        asked = chat_request(await _json_object(request))
        model = self._model(asked.model)
        if model is None:
            raise no_deployment()
        headers = self._limited(asked.model)
        self._asked += 1
        made = self._deployments.get(asked.model)
        completion = complete(
            asked, model, self._asked, self._learned(model), fault,
            filters_beside=made is not None and made.filters_beside,
        )  # fmt: skip
        if asked.stream:
            return StreamingResponse(
                _events(completion, fault.cut_after), media_type="text/event-stream", headers=headers
            )
        return JSONResponse(completion.body(), headers=headers)

    def _model(self, name: str) -> str | None:
        made = self._deployments.get(name)
        return made.model if made is not None else self.manager.ready.get(name)

    def _learned(self, model: str) -> tuple[Example, ...]:
        return self.training.learned.get(model, ())

    def _limited(self, deployment: str) -> dict[str, str]:
        limit = self._limits.get(deployment)
        if limit is None:
            return {}
        wait = limit.take()
        if wait is not None:
            raise too_many(wait)
        return {"x-ratelimit-remaining-requests": str(limit.remaining)}

    async def _hang(self, request: Request) -> None:
        while not (await request.is_disconnected() or self._server.should_exit):
            await asyncio.sleep(_LOOK_SECONDS)

    async def _models(self, request: Request) -> Response:
        del request
        names = [*self.training.base_models, *self.training.learned]
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    async def _files(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse(self.training.files())
        parts = _multipart(request.headers.get("content-type", ""), await request.body())
        file, purpose = parts.get("file"), parts.get("purpose")
        if file is None or purpose is None:
            raise invalid("'file' and 'purpose' are required.")
        return JSONResponse(self.training.upload(file[0], purpose[1].decode(), file[1]))

    async def _file(self, request: Request) -> Response:
        return JSONResponse(self.training.file(request.path_params["id"]))

    async def _jobs(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse(self.training.jobs())
        return JSONResponse(self.training.create_job(await _json_object(request)))

    async def _job(self, request: Request) -> Response:
        return JSONResponse(self.training.job(request.path_params["id"]))

    async def _cancel(self, request: Request) -> Response:
        return JSONResponse(self.training.cancel(request.path_params["id"]))

    async def _manage(self, request: Request) -> Response:
        query = dict(request.query_params)
        if request.method == "GET":
            return JSONResponse(self.manager.get(request.url.path, query))
        models = frozenset((*self.training.base_models, *self.training.learned))
        status, body = self.manager.put(request.url.path, query, await _json_object(request), models)
        return JSONResponse(body, status)

    async def _token(self, request: Request) -> Response:
        return JSONResponse(self.identity.issue(dict(request.query_params), request.headers))


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise invalid("We could not parse the JSON body of your request.")
    return found


async def _events(completion: Completion, cut_after: int | None) -> AsyncIterator[bytes]:
    for number, chunk in enumerate(completion.chunks()):
        if number == cut_after:
            msg = "the connection is cut, as scripted"
            raise ConnectionError(msg)
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def _multipart(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The parts of a form by name: file name and content."""
    parsed: Message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    found: dict[str, tuple[str, bytes]] = {}
    for part in parsed.get_payload() if parsed.is_multipart() else ():
        if isinstance(part, Message):
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes):
                found[name] = (part.get_filename() or "", content)
    return found
