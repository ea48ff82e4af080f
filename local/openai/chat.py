"""Chat completions: from a request to one body or to the chunks of a stream. Pure.

The shapes are Azure's: annotations of the filters beside the usual fields, and a first chunk without choices that
carries those of the prompt.
"""

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pegel.local.openai.content_filter import Results, annotate, is_filtered
from pegel.local.openai.faults import ApiError, Fault, invalid
from pegel.local.openai.learner import Example, Message, count_tokens, guess, pieces
from pegel.local.openai.requests import MAX_CONTEXT_TOKENS, ChatRequest

CACHED_TOKENS = 128
"""A prompt's start is cached in multiples of this."""


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer before it takes one of its two shapes."""

    request: ChatRequest
    model: str
    id: str
    created: int
    tokens: tuple[str, ...]
    probability: float
    finish_reason: str
    prompt_filter: Results | None
    answer_filter: Results | None
    usage: dict[str, Any]
    filters_beside: bool = False
    """Whether the filters run beside the stream: pieces go out at once, and their annotations follow."""

    def body(self) -> dict[str, Any]:
        """The whole answer."""
        message = {"role": "assistant", "content": "".join(self.tokens), "refusal": None}
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": self._logprobs(range(len(self.tokens))),
        }
        if self.answer_filter is not None:
            choice["content_filter_results"] = self.answer_filter
        whole = self._head("chat.completion") | {"choices": [choice], "usage": self.usage}
        return whole | self._prompt_filter()

    def chunks(self) -> Iterator[dict[str, Any]]:
        """The same answer piece by piece."""
        if self.prompt_filter is not None:
            # Nothing has been made yet, so the chunk has neither id nor model.
            empty = {"id": "", "model": "", "created": 0, "object": "chat.completion.chunk", "choices": []}
            yield empty | self._prompt_filter()
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for i, token in enumerate(self.tokens):
            yield self._chunk({"content": token}, logprobs=self._logprobs([i]))
            if self.filters_beside:
                yield self._annotation(i)
        yield self._chunk({}, finish_reason=self.finish_reason)
        if self.request.stream_options is not None and self.request.stream_options.include_usage:
            yield self._head("chat.completion.chunk") | {"choices": [], "usage": self.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "system_fingerprint": None}

    def _prompt_filter(self) -> dict[str, Any]:
        if self.prompt_filter is None:
            return {}
        return {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": self.prompt_filter}]}

    def _chunk(
        self, delta: dict[str, Any], *, finish_reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
        annotated = self.answer_filter is not None and not self.filters_beside
        if annotated and (finish_reason or "content" in delta):
            choice["content_filter_results"] = self.answer_filter
        return self._head("chat.completion.chunk") | {"choices": [choice]}

    def _annotation(self, upto: int) -> dict[str, Any]:
        start, end = len("".join(self.tokens[:upto])), len("".join(self.tokens[: upto + 1]))
        offsets = {"check_offset": start, "start_offset": start, "end_offset": end}
        choice: dict[str, Any] = {"index": 0, "finish_reason": None, "content_filter_offsets": offsets}
        choice["content_filter_results"] = self.answer_filter or {}
        return {"id": "", "object": "", "created": 0, "model": "", "choices": [choice]}

    def _logprobs(self, positions: Sequence[int]) -> dict[str, Any] | None:
        if not self.request.logprobs:
            return None
        # The first token decides which label it is; what follows is certain.
        content = [
            {
                "token": self.tokens[i],
                "logprob": math.log(self.probability) if i == 0 else 0.0,
                "bytes": list(self.tokens[i].encode()),
                "top_logprobs": [],
            }
            for i in positions
        ]
        return {"content": content, "refusal": None}


def complete(
    request: ChatRequest,
    model: str,
    number: int,
    known: Sequence[Example],
    fault: Fault,
    *,
    filters_beside: bool = False,
) -> Completion:
    """Answer a request.

    Args:
        request: the request.
        model: which model the deployment runs.
        number: how many requests came before, for the id.
        known: what the model was fine-tuned on.
        fault: what goes wrong with the filters.
        filters_beside: whether the filters run beside a stream.

    Raises:
        ApiError: 400, if the prompt is filtered or too long.
    """
    messages: list[Message] = [(message.role, message.content) for message in request.messages]
    asked = sum(count_tokens(content) + 4 for _, content in messages)
    if asked > MAX_CONTEXT_TOKENS:
        said = f"This model's maximum context length is {MAX_CONTEXT_TOKENS} tokens, and your messages have {asked}."
        raise invalid(said, "messages", "context_length_exceeded")
    prompt_filter = None if fault.skip_filters else _worst([annotate(content, prompt=True) for _, content in messages])
    if prompt_filter is not None and is_filtered(prompt_filter):
        raise _filtered(prompt_filter)
    found = guess(messages, known)
    tokens = pieces(found.text)
    most = request.max_completion_tokens or request.max_tokens or len(tokens)
    finish = "length" if most < len(tokens) else "stop"
    said_tokens = tuple(tokens[:most])
    answer_filter = None if fault.skip_filters else annotate("".join(said_tokens), prompt=False)
    if fault.filter_answer and answer_filter is not None:
        answer_filter["hate"] = {"filtered": True, "severity": "medium"}
    if answer_filter is not None and is_filtered(answer_filter):
        finish, said_tokens = "content_filter", said_tokens[:1] if request.stream else ()
    identity = hashlib.sha256(f"{number}/{messages[-1][1]}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return Completion(
        request=request,
        model=model,
        id=f"chatcmpl-{identity}",
        created=int(time.time()),
        tokens=said_tokens,
        probability=found.probability,
        finish_reason=finish,
        prompt_filter=prompt_filter,
        answer_filter=answer_filter,
        usage=_usage(messages, asked, len(said_tokens)),
        filters_beside=filters_beside,
    )


def _usage(messages: Sequence[Message], asked: int, made: int) -> dict[str, Any]:
    stable = sum(count_tokens(content) + 4 for _, content in messages[:-1])
    cached = stable // CACHED_TOKENS * CACHED_TOKENS if stable >= 1024 else 0
    return {
        "prompt_tokens": asked,
        "completion_tokens": made,
        "total_tokens": asked + made,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _worst(each: Sequence[Results]) -> Results:
    """Of several messages' annotations the ones that say most."""
    order = ("safe", "low", "medium", "high")

    def weight(entry: dict[str, Any]) -> tuple[bool, int]:
        return entry["filtered"], order.index(entry.get("severity", "safe"))

    return {name: max((results[name] for results in each), key=weight) for name in each[0]}


def _filtered(results: Results) -> ApiError:
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry."
    )
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
    body = {"message": message, "type": None, "param": "prompt", "code": "content_filter", "status": 400}
    return ApiError(400, body | {"innererror": inner})
