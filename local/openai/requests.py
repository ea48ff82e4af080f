"""What a request for a chat completion may hold; all else is refused as the service refuses it. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pegel.local.openai.faults import ApiError, invalid

MAX_CONTEXT_TOKENS = 128_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChatMessage(_Part):
    """One message; only texts."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str
    name: str | None = None


class StreamOptions(_Part):
    """How a stream ends."""

    include_usage: bool = False


class ChatRequest(_Part):
    """The parameters that the local model follows."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, gt=0)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    n: Literal[1] | None = None
    seed: int | None = None
    logprobs: bool | None = None
    user: str | None = None

    @model_validator(mode="after")
    def _together(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            msg = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise ValueError(msg)
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            msg = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
            raise ValueError(msg)
        return self


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Read a body.

    Raises:
        ApiError: 400 with the parameter that is wrong.
    """
    try:
        return ChatRequest.model_validate(body)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    param = ".".join(str(step) for step in first["loc"]) or None
    if first["type"] == "extra_forbidden":
        return invalid(f"Unrecognized request argument supplied: {param}", code="unknown_parameter", param=param)
    if first["type"] == "missing":
        return invalid(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)
    said = first["msg"].removeprefix("Value error, ")
    return invalid(f"Invalid value for '{param}': {said}" if param else said, code="invalid_value", param=param)
