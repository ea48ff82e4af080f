"""A prompt behind Azure OpenAI as the registry keeps it: MLflow copies this file and runs it to load the model. Edge.

The file imports nothing of Pegel, so that a version loads where Pegel is not installed or is of another version, and it
is one file, so that two versions in one process cannot take each other's modules. The names of its columns and failures
are those of ``schemas/model_io.py``, which a test compares. Loading asks no network and reads no key: both happen with
each question, so a rotated key is taken up at once.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import openai
import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

SCOPE = "https://ai.azure.com/.default"
BACKOFF_CAP_SECONDS = 8.0
DECIMALS = 6
"""Probabilities are rounded, so that an event's JSON holds exactly what the baseline counted."""

SEVERITIES = ("safe", "unknown", "low", "medium", "detected", "high")
"""What a filter says, the worst last. An annotation that is missing is unknown, which is worse than safe."""

Row = dict[str, Any]


class _NoKeyError(Exception):
    """There is no key to send."""


@dataclass(slots=True)
class _Reply:
    """What came back, put together from one body or from many chunks."""

    id: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    text: str = ""
    refused: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    prompt_filter: dict[str, Any] = field(default_factory=dict)
    completion_filter: dict[str, Any] = field(default_factory=dict)
    logprobs: list[float] = field(default_factory=list)

    def take(self, part: Any) -> str:
        """Add a completion or a chunk of one; gives the text that it adds."""
        self.id, self.model = part.id or self.id, part.model or self.model
        for annotated in (part.model_extra or {}).get("prompt_filter_results") or []:
            _keep_worst(self.prompt_filter, annotated.get("content_filter_results") or {})
        if part.usage is not None:
            self.usage = part.usage.model_dump()
        added = ""
        for choice in part.choices[:1]:
            # Where filters run beside the stream, their chunks have annotations and nothing else.
            said = getattr(choice, "delta", None) or getattr(choice, "message", None)
            self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
            _keep_worst(self.completion_filter, (choice.model_extra or {}).get("content_filter_results") or {})
            self.refused = self.refused or bool(getattr(said, "refusal", None))
            logprobs = getattr(getattr(choice, "logprobs", None), "content", None)
            self.logprobs += [token.logprob for token in logprobs or []]
            added = getattr(said, "content", None) or ""
        self.text += added
        return added


class OpenAiPrompt(PythonModel):  # type: ignore[misc]
    """Text in; the deployment's answer, its probability if it gives one, and what its filters say out."""

    def load_context(self, context: Any) -> None:
        """Read prompt and configuration."""
        self._config = dict(context.model_config)
        prompt = json.loads(Path(context.artifacts["prompt"]).read_text(encoding="utf-8"))
        self._system = prompt["system"]
        self._labels = {label: label.casefold() for label in prompt["labels"]}
        self._client = openai.OpenAI(
            base_url=self._config["base_url"],
            api_key=_key_source(self._config),
            timeout=self._config["timeout_seconds"],
            max_retries=0,  # the SDK would wait up to 120 s, which no caller of /predict can
        )

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer each row of the column ``text``, in order, several at the same time."""
        del context, params
        texts = [str(text) for text in model_input["text"]]
        if len(texts) == 1:
            rows = [self._answer(texts[0])]
        else:
            with ThreadPoolExecutor(self._config["concurrency"], thread_name_prefix="openai") as workers:
                rows = list(workers.map(self._answer, texts))
        return pd.DataFrame(rows, columns=["output", "probabilities", "features", "event", "error"])

    def predict_stream(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Iterator[Row]:
        """Answer one row as it is written; tries again only before the first piece has gone out."""
        del context, params
        given = model_input["text"]
        # MLflow makes a dictionary of the one row of a frame.
        (text,) = (given,) if isinstance(given, str) else (str(text) for text in given)
        reply = _Reply()
        try:
            with self._ask(text, stream=True) as chunks:
                for chunk in chunks:
                    if piece := reply.take(chunk):
                        yield {"delta": piece}
        except Exception as error:  # an SDK's stream lets the transport's own errors through
            yield {"answer": self._failed(error, reply)}
        else:
            yield {"answer": self._row(reply)}

    def _answer(self, text: str) -> Row:
        reply = _Reply()
        try:
            reply.take(self._ask(text, stream=False))
        except Exception as error:  # a row that fails must not take the others along
            return self._failed(error, reply)
        return self._row(reply)

    def _ask(self, text: str, *, stream: bool) -> Any:
        optional: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        if self._config["temperature"] is not None:
            optional["temperature"] = self._config["temperature"]
        if self._config["logprobs"]:
            optional["logprobs"] = True
        tries = Retrying(
            stop=stop_after_attempt(self._config["max_retries"] + 1),
            retry=retry_if_exception(lambda error: _is_passing(error, self._config["max_retry_wait_seconds"])),
            wait=_wait,
            reraise=True,
        )
        return tries(
            self._client.chat.completions.create,
            model=self._config["deployment"],
            messages=[{"role": "system", "content": self._system}, {"role": "user", "content": text}],
            max_completion_tokens=self._config["max_output_tokens"],
            **optional,
        )

    def _row(self, reply: _Reply) -> Row:
        event = self._event(reply)
        features = {
            "finish_reason": "refusal" if reply.refused else reply.finish_reason or "unknown",
            "known_label": "no",
            "prompt_filter": worst(reply.prompt_filter),
            "completion_filter": worst(reply.completion_filter),
        }
        if reply.finish_reason is None:
            return _row(features, event, _error("unavailable", "the deployment's answer broke off before its end"))
        if reply.finish_reason == "content_filter":
            return _row(features, event, _error("content_filter", "the content filter withheld the answer"))
        output, known = self._label_of(reply.text.strip())
        features["known_label"] = "yes" if known else "no"
        probability = round(math.exp(min(sum(reply.logprobs), 0.0)), DECIMALS) if reply.logprobs else None
        return _row(features, event, None, output, {} if probability is None else {output: probability})

    def _label_of(self, said: str) -> tuple[str, bool]:
        """The label that is meant, and whether it is one: quotes, a full stop and capitals do not matter."""
        bare = said.strip("\"'`. ")
        for form in (said, bare):
            if form in self._labels:
                return form, True
        alike = (label for label, folded in self._labels.items() if folded == bare.casefold())
        label = next(alike, None)
        return (label, True) if label is not None else (bare, False)

    def _failed(self, error: BaseException, reply: _Reply) -> Row:
        event, features = self._event(reply), {}
        failure = _failure_of(error, self._config["deployment"])
        if failure["type"] == "content_filter":
            body = getattr(error, "body", None)
            inner = (body.get("innererror") if isinstance(body, dict) else None) or {}
            said = inner.get("content_filter_result") or {}
            event |= _filter_event(said, {}) | {"gen_ai.response.finish_reasons": ["content_filter"]}
            features = {"finish_reason": "content_filter", "prompt_filter": worst(said)}
        return _row(features, event, failure)

    def _event(self, reply: _Reply) -> Row:
        found = {
            "prompt_version": self._config["prompt_version"],
            "gen_ai.provider.name": "azure.ai.openai",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self._config["deployment"],
            "gen_ai.response.model": reply.model,
            "gen_ai.response.id": reply.id,
            "gen_ai.response.finish_reasons": [reply.finish_reason] if reply.finish_reason else None,
            **tokens(reply.usage),
        }
        known = {name: value for name, value in found.items() if value is not None}
        return known | _filter_event(reply.prompt_filter, reply.completion_filter)


def tokens(usage: dict[str, Any]) -> dict[str, int]:
    """All kinds of tokens of a usage, by their GenAI names; what the service did not say is left out.

    Example:
        >>> tokens({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}})
        {'gen_ai.usage.input_tokens': 9, 'gen_ai.usage.output_tokens': 2, 'gen_ai.usage.cache_read.input_tokens': 4}
    """
    given, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    found = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "cache_read.input_tokens": given.get("cached_tokens"),
        "cache_creation.input_tokens": given.get("cache_write_tokens"),
        "reasoning.output_tokens": made.get("reasoning_tokens"),
        "accepted_prediction.output_tokens": made.get("accepted_prediction_tokens"),
        "rejected_prediction.output_tokens": made.get("rejected_prediction_tokens"),
        **{f"{kind}.input_tokens": given.get(f"{kind}_tokens") for kind in ("text", "image", "audio")},
        **{f"{kind}.output_tokens": made.get(f"{kind}_tokens") for kind in ("text", "audio")},
    }
    return {f"gen_ai.usage.{name}": count for name, count in found.items() if isinstance(count, int) and count >= 0}


def worst(results: dict[str, Any]) -> str:
    """The worst of what the filters say, one of :data:`SEVERITIES`; a filter that did not run is unknown.

    Example:
        >>> worst({"hate": {"filtered": False, "severity": "low"}, "jailbreak": {"filtered": False, "detected": False}})
        'low'
        >>> worst({}), worst({"error": {"code": "content_filter_error"}})
        ('unknown', 'unknown')
    """
    return max((_severity(entry) for entry in results.values()), key=SEVERITIES.index, default="unknown")


def _keep_worst(known: dict[str, Any], more: dict[str, Any]) -> None:
    """Each chunk of a stream is annotated for itself: one that is safe does not make the one before safe."""
    for name, entry in more.items():
        if name not in known or SEVERITIES.index(_severity(entry)) > SEVERITIES.index(_severity(known[name])):
            known[name] = entry


def _severity(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "unknown"
    if entry.get("severity") in SEVERITIES:
        return str(entry["severity"])
    if "detected" in entry or "filtered" in entry:
        return "detected" if entry.get("detected") or entry.get("filtered") else "safe"
    return "unknown"


def _filter_event(prompt: dict[str, Any], completion: dict[str, Any]) -> Row:
    found = [("prompt", prompt), ("completion", completion)]
    results = [{"source_type": kind, "content_filter_results": said} for kind, said in found if said]
    return {"microsoft.foundry.content_filter.results": results} if results else {}


def _row(features: Row, event: Row, error: Row | None, output: str = "", probabilities: Row | None = None) -> Row:
    return {
        "output": output, "probabilities": probabilities or {}, "features": features, "event": event, "error": error,
    }  # fmt: skip


def _error(kind: str, message: str, retry_after_s: float | None = None) -> Row:
    return {"type": kind, "message": message, "retry_after_s": retry_after_s}


def _failure_of(error: BaseException, deployment: str) -> Row:
    """Say an exception as a failure, in words of our own: the service's may repeat what was asked."""
    known: list[tuple[type[BaseException], str, str]] = [
        (_NoKeyError, "access_refused", f"there is no key to ask the deployment with: {error}"),
        (openai.RateLimitError, "rate_limited", "the deployment takes no more requests for now"),
        (openai.AuthenticationError, "access_refused", "the service refuses the key or token"),
        (openai.PermissionDeniedError, "access_refused", "the key or token has no right to this deployment"),
        (openai.NotFoundError, "deployment_not_found", f"the service knows no deployment {deployment!r}"),
        (openai.BadRequestError, "bad_request", "the service does not understand the request"),
        (openai.UnprocessableEntityError, "bad_request", "the service cannot process the request"),
        (openai.APITimeoutError, "timeout", "the deployment did not answer in time"),
        (openai.APIConnectionError, "unavailable", "the service cannot be reached"),
    ]
    if isinstance(error, openai.BadRequestError) and error.code == "content_filter":
        return _error("content_filter", "the content filter refuses this text")
    for kind, name, words in known:
        if isinstance(error, kind):
            return _error(name, words, retry_after(error))
    # The transport's errors of an open stream come as they are; only their names tell.
    if "Timeout" in type(error).__name__:
        return _error("timeout", "the deployment stopped answering in time")
    return _error("unavailable", f"the service failed: {type(error).__name__}", retry_after(error))


def retry_after(error: BaseException) -> float | None:
    """After how many seconds the service would be asked again, as it says itself; None if it does not."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo else None


def _is_passing(error: BaseException, patience_seconds: float) -> bool:
    """Whether another try may help, and soon enough."""
    passing = (openai.RateLimitError, openai.APIConnectionError, openai.InternalServerError, openai.ConflictError)
    return isinstance(error, passing) and (retry_after(error) or 0.0) <= patience_seconds


_backoff = wait_random_exponential(multiplier=0.5, max=BACKOFF_CAP_SECONDS)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = retry_after(error) if error else None
    return asked if asked is not None else _backoff(state)


def _key_source(config: dict[str, Any]) -> Callable[[], str]:
    """Gives the key or token; the client calls it with each request."""
    if config["entra"]:
        from azure.identity import DefaultAzureCredential, get_bearer_token_provider

        provider = get_bearer_token_provider(DefaultAzureCredential(), SCOPE)

        def token() -> str:
            try:
                return provider()
            except Exception as error:  # each credential has errors of its own
                msg = f"no credential gives a token ({type(error).__name__})"
                raise _NoKeyError(msg) from error

        return token

    def key() -> str:
        where = config["api_key"]
        if "env" in where:
            found = os.environ.get(where["env"], "")
        else:
            path = Path(where["file"])
            found = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        if not found:
            msg = (
                f"{'the environment variable' if 'env' in where else 'the file'} {next(iter(where.values()))} is empty"
            )
            raise _NoKeyError(msg)
        return found

    return key


set_model(OpenAiPrompt())
