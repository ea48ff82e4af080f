"""Why a request gets no answer: a status, a reason for programs and a sentence for people. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from pegel.schemas.model_io import Failure, FailureType
from pegel.schemas.usage_policy import Denial


class Reason(StrEnum):
    """Reasons beside those of the usage policy and those of the model's own service."""

    NO_CREDENTIALS = "no_credentials"
    UNKNOWN_KEY = "unknown_key"
    BAD_TOKEN = "bad_token"
    UNKNOWN_CALLER = "unknown_caller"
    CALLER_LIMIT = "limit_of_caller"
    BATCH_ABOVE_LIMIT = "batch_above_limit"
    NOT_A_REQUEST = "not_a_request"
    TOO_LARGE = "too_large"
    TOO_SLOW = "body_too_slow"
    NO_CHAMPION = "no_champion"
    MODEL_FAILED = "model_failed"
    BUSY = "busy"
    TIMEOUT = "timeout"
    ISSUER_AWAY = "issuer_away"


STATUS_OF_FAILURE = {
    FailureType.RATE_LIMITED: 429,
    FailureType.CONTENT_FILTER: 400,
    FailureType.TIMEOUT: 504,
    FailureType.WRONG_DEPLOYMENT: 502,
    FailureType.ACCESS_REFUSED: 502,
    FailureType.BAD_REQUEST: 400,
    FailureType.UNAVAILABLE: 503,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no answer.

    Attributes:
        status: of HTTP.
        reason: a word for programs.
        detail: one sentence for people.
        event_id: of the prediction event, if one was emitted.
        rule: of the usage policy, if one refuses.
        retry_after_s: when it may be tried again, in seconds; None if nobody knows, or never.
    """

    status: int
    reason: str
    detail: str
    event_id: str | None = None
    rule: str | None = None
    retry_after_s: float | None = None


class RefusedError(Exception):
    """Carries a refusal to where it is answered. ``recorded`` says whether the audit trail has it already."""

    def __init__(self, refusal: Refusal, *, recorded: bool = False) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal
        self.recorded = recorded


def of_denial(denial: Denial) -> Refusal:
    """What the usage policy refuses is 403."""
    return Refusal(403, denial.reason.value, denial.says, rule=denial.rule)


def of_failure(failure: Failure, event_id: str) -> Refusal:
    """What the service behind the model refused.

    Example:
        >>> of_failure(Failure(FailureType.RATE_LIMITED, "Come back.", 3.0), "e1").status
        429
    """
    status = STATUS_OF_FAILURE[failure.type]
    return Refusal(status, failure.type.value, failure.message, event_id, retry_after_s=failure.retry_after_s)
