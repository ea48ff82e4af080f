"""What goes wrong when a test says so, and what the API says when something is refused. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request is answered instead of as usual.

    Attributes:
        status: of the error; 0 for none.
        headers: such as ``Retry-After``.
        hang: never answer; the request ends when the client goes or the server stops.
        cut_after: break the connection off after so many chunks of a streamed answer.
        skip_filters: answer as usual, but without the filters' annotations, as when the filters are down.
        filter_answer: let the filter withhold the answer.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    cut_after: int | None = None
    skip_filters: bool = False
    filter_answer: bool = False


class ApiError(Exception):
    """A refusal, with the body that the service sends.

    Args:
        status: of the answer.
        body: the inner ``error`` object.
        headers: of the answer.
    """

    def __init__(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, dict(body))
        self.status, self.body, self.headers = status, dict(body), dict(headers or {})


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request is not one that the API knows."""
    return ApiError(400, {"message": message, "type": "invalid_request_error", "param": param, "code": code})


def access_denied() -> ApiError:
    """401: a wrong key or token."""
    message = "Access denied due to invalid subscription key or wrong API endpoint."
    return ApiError(401, {"code": "401", "message": message})


def no_deployment() -> ApiError:
    """404: no deployment of that name."""
    message = "The API deployment for this resource does not exist."
    return ApiError(404, {"code": "DeploymentNotFound", "message": message})


def not_found(what: str) -> ApiError:
    """404: no such file or job."""
    return ApiError(404, {"code": "notFound", "message": f"{what} could not be found."})


def too_many(retry_after_seconds: float) -> ApiError:
    """429 by the rate limit."""
    whole = max(1, -int(-retry_after_seconds // 1))
    message = f"Requests have exceeded the call rate limit. Please retry after {whole} seconds."
    headers = {"Retry-After": str(whole), "retry-after-ms": str(int(retry_after_seconds * 1000) + 1)}
    return ApiError(429, {"code": "429", "message": message}, headers)


def scripted(fault: Fault) -> ApiError:
    """The error of a fault with a status."""
    known = {401: access_denied(), 404: no_deployment()}
    if fault.status in known:
        return ApiError(fault.status, known[fault.status].body, fault.headers)
    body = {"code": str(fault.status), "message": "The server could not process the request.", "type": "server_error"}
    return ApiError(fault.status, body, fault.headers)
