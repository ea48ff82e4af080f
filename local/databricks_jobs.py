"""A local Databricks Jobs API 2.2 that runs commands of this machine as job runs. Edge.

What the real service checks is checked: the token, whether the job is there, declared parameters, the idempotency token
(64 characters, one run each), ``max_concurrent_runs`` and the queue.
"""

import json
import logging
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_log = logging.getLogger(__name__)

_PLACEHOLDER = re.compile(r"\{\{job\.parameters\.(\w+)\}\}", re.ASCII)
_MAX_BODY_BYTES = 1_000_000
_TOKEN_LENGTH = 64
_END_SECONDS = 10
_STATUS = {
    "QUEUED": "QUEUED",
    "PENDING": "PENDING",
    "RUNNING": "RUNNING",
    "TERMINATED": "TERMINATED",
    "SKIPPED": "TERMINATED",
}


@dataclass(frozen=True, slots=True)
class LocalJob:
    """A job: a command as a list of arguments, in which ``{{job.parameters.NAME}}`` stands for a declared parameter.

    Attributes:
        command: program and arguments; no shell reads them, so that a value is always one argument.
        parameters: name -> default.
        max_concurrent_runs: more runs wait if they ask for the queue, else they are skipped.
    """

    command: Sequence[str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_concurrent_runs: int = 1


@dataclass(slots=True)
class JobRun:
    """A run and where it stands."""

    run_id: int
    job_id: int
    parameters: Mapping[str, str]
    created_at: datetime
    log: Path
    state: str = "PENDING"
    result: str | None = None
    message: str = ""
    process: subprocess.Popen[bytes] | None = None


class _ApiError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.body = status, {"error_code": code, "message": message}


class LocalJobs:
    """Takes its port when it is made, serves from :meth:`start` to :meth:`stop`.

    Args:
        jobs: id -> job.
        token: the bearer token that may call.
        refuse: answer every call of the API with 403, as a workspace that took the right away.
        folder: where the runs write their logs.
        port: 0 lets the system choose.

    Attributes:
        runs: every run, in order.
        calls: (time, path, status) of every call.
    """

    def __init__(
        self,
        jobs: Mapping[int, LocalJob],
        token: str,
        *,
        refuse: bool = False,
        folder: Path = Path(".pegel/job-runs"),
        port: int = 0,
    ) -> None:
        self._jobs = dict(jobs)
        self._token = token
        self._folder = folder
        self.refuse = refuse
        self._by_token: dict[str, int] = {}
        self._lock = threading.RLock()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.runs: list[JobRun] = []
        self.calls: list[tuple[datetime, str, int]] = []
        self._server = _Server(port, self)

    @property
    def host(self) -> str:
        """The workspace's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Serve in a thread."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.1), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what runs, and give the port back; also right if it was never started."""
        with self._lock:
            self._stopping = True
            processes = [run.process for run in self.runs if run.process is not None]
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(_END_SECONDS)
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._server.server_close()

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body for one call."""
        url = urlsplit(target)
        try:
            status, content = 200, self._route(method, url.path, parse_qs(url.query), authorization, body)
        except _ApiError as refused:
            status, content = refused.status, refused.body
        with self._lock:
            self.calls.append((datetime.now(UTC), url.path, status))
        return status, content

    def _route(
        self, method: str, path: str, query: Mapping[str, list[str]], authorization: str, body: bytes
    ) -> dict[str, Any]:
        if (method, path) == ("GET", "/.well-known/databricks-config"):
            return {"oidc_endpoint": f"{self.host}/oidc"}
        if authorization != f"Bearer {self._token}":
            raise _ApiError(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type")
        if self.refuse:
            raise _ApiError(403, "PERMISSION_DENIED", "User does not have CAN_MANAGE_RUN on the job")
        if (method, path) == ("POST", "/api/2.2/jobs/run-now"):
            return self._run_now(_json_object(body))
        if (method, path) == ("GET", "/api/2.2/jobs/runs/get"):
            return self._get(query.get("run_id", [""])[0])
        raise _ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")

    def _run_now(self, request: Mapping[str, Any]) -> dict[str, Any]:
        job_id = request.get("job_id")
        job = self._jobs.get(job_id) if isinstance(job_id, int) else None
        if job is None or not isinstance(job_id, int):
            raise _ApiError(400, "INVALID_PARAMETER_VALUE", f"Job {job_id} does not exist.")
        token = str(request.get("idempotency_token") or "")
        if len(token) > _TOKEN_LENGTH:
            raise _ApiError(400, "INVALID_PARAMETER_VALUE", "idempotency_token has more than 64 characters")
        given = request.get("job_parameters") or {}
        unknown = sorted(set(given) - set(job.parameters))
        if unknown:
            raise _ApiError(400, "INVALID_PARAMETER_VALUE", f"The job declares no parameter {unknown[0]!r}")
        with self._lock:
            if token not in self._by_token or not token:
                run_id = self._new_run(job_id, job, given, queue=bool((request.get("queue") or {}).get("enabled")))
                if token:
                    self._by_token[token] = run_id
            else:
                run_id = self._by_token[token]
        return {"run_id": run_id, "number_in_job": run_id}

    def _new_run(self, job_id: int, job: LocalJob, given: Mapping[str, Any], *, queue: bool) -> int:
        run_id = len(self.runs) + 1
        parameters = {**job.parameters, **{name: str(value) for name, value in given.items()}}
        run = JobRun(run_id, job_id, parameters, datetime.now(UTC), self._folder / f"run-{run_id}.log")
        self.runs.append(run)
        active = sum(other.job_id == job_id and other.state in ("PENDING", "RUNNING") for other in self.runs)
        if active <= job.max_concurrent_runs:
            self._begin(run, job)
        elif queue:
            run.state = "QUEUED"
        else:
            run.state, run.result = "SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED"
        return run_id

    def _begin(self, run: JobRun, job: LocalJob) -> None:
        run.state = "PENDING"
        threading.Thread(target=self._execute, args=(run, job), daemon=True).start()

    def _execute(self, run: JobRun, job: LocalJob) -> None:
        command = [_PLACEHOLDER.sub(lambda m: run.parameters[m[1]], part) for part in job.command]
        try:
            with self._lock, run.log.open("wb") as log:
                if self._stopping:
                    return
                run.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
                run.state = "RUNNING"
            code = run.process.wait()
            result, message = ("SUCCESS", "") if code == 0 else ("FAILED", f"exit code {code}, see {run.log}")
        except OSError as error:
            result, message = "FAILED", f"the command could not be started: {error}"
        with self._lock:
            run.state, run.result, run.message = "TERMINATED", result, message
            if result != "SUCCESS":
                _log.warning("run %d of job %d failed: %s", run.run_id, run.job_id, message)
            waiting = next((r for r in self.runs if r.job_id == run.job_id and r.state == "QUEUED"), None)
            if waiting is not None and not self._stopping:
                self._begin(waiting, job)

    def _get(self, run_id: str) -> dict[str, Any]:
        with self._lock:
            if not run_id.isdecimal() or not 1 <= int(run_id) <= len(self.runs):
                raise _ApiError(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")
            run = self.runs[int(run_id) - 1]
            state: dict[str, Any] = {"life_cycle_state": run.state, "state_message": run.message}
            status: dict[str, Any] = {"state": _STATUS[run.state]}
            if run.result is not None:
                code = {"SUCCESS": "SUCCESS", "FAILED": "RUN_EXECUTION_ERROR"}.get(run.result, "SKIPPED")
                kind = "SUCCESS" if run.result == "SUCCESS" else "CLIENT_ERROR"
                state["result_state"] = run.result
                status["termination_details"] = {"code": code, "type": kind, "message": run.message}
            return {"run_id": run.run_id, "job_id": run.job_id, "state": state, "status": status}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _ApiError(400, "MALFORMED_REQUEST", "the body is not a JSON object")
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, api: LocalJobs) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def do_GET(self) -> None:  # the name is http.server's
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
            self.send_error(413)
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        status, content = self.server.api.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
        sent = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Calls are kept in ``LocalJobs.calls``."""
