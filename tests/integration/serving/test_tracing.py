"""Traces in a real MLflow store: what is there, what must never be, and that no answer depends on it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from equipment.openai_resource import DEPLOYMENT, KEY_VARIABLE, local_resource, model_of
from equipment.openai_resource import KEY as OPENAI_KEY

from pegel.conf.settings import Settings
from pegel.local.openai import Fault
from pegel.schemas.events import FeedbackEvent
from pegel.schemas.model_io import TEXT, Answer, Failure, FailureType, answers_of
from pegel.serving.call import Call
from pegel.serving.tracing import Tracing, is_sampled, trace_id_of

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
KEY = "sk-" + "Zy9X" * 8
ADDRESS = "ada.lovelace@analytical-engine.example"
SECRET = f"mail {ADDRESS} the key {KEY}, password: hunter2secret"
SECRETS = (KEY.encode(), ADDRESS.encode(), b"hunter2secret")
PATIENCE_SECONDS = 60

Make = Callable[..., Settings]


def _call(event_id: str, text: str) -> Call:
    names = {"model": "assistant", "version": "3", "caller": "local"}
    return Call(event_id=event_id, event_time=NOW, text=text, segments={"a": "b"}, **names)


class TracedCalls:
    """Calls that are looked at by a tracing, as the service does it."""

    def __init__(self, tracing: Tracing) -> None:
        self.tracing = tracing

    def ask(self, event_id: str, text: str, answer: Callable[[str], Answer]) -> Call:
        call = _call(event_id, text)
        with self.tracing(call):
            try:
                call.answer = answer(text)
            except RuntimeError as error:
                call.error_type = type(error).__name__
        return call


@contextmanager
def _started(settings: Settings) -> Iterator[TracedCalls]:
    tracing = Tracing(settings)
    tracing.start()
    _until(lambda: tracing._capture is not None)
    yield TracedCalls(tracing)
    tracing.close(PATIENCE_SECONDS)


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(PATIENCE_SECONDS * 50):
        if condition():
            return
        threading.Event().wait(0.02)
    pytest.fail(f"it did not come about within {PATIENCE_SECONDS} s")


def _stored(settings: Settings, trace_id: str) -> Any:
    from mlflow.tracing.client import TracingClient

    return TracingClient(settings.mlflow.tracking_uri).get_trace(trace_id)


def _echo(text: str) -> Answer:
    return Answer(f"heard {text}", {"heard": 0.75}, {"words": 2.0})


def _feedback(event_id: str, feedback_id: str, label: str = "weather", trace_id: str | None = None) -> FeedbackEvent:
    return FeedbackEvent(
        trace_id=trace_id,
        feedback_id=feedback_id,
        event_id=event_id,
        prediction_time=NOW,
        feedback_time=NOW,
        label=label,
        source="desk",
    )


def test_a_traced_call_is_in_the_store_with_input_output_and_its_own_id(traced: Make) -> None:
    settings = traced()
    with _started(settings) as calls:
        call = calls.ask("e-1", "hello there", _echo)
        failed = calls.ask("e-2", "hello", lambda _: Answer("", {}, {}, failure=Failure(FailureType.TIMEOUT, "slow")))
    assert call.trace_id == trace_id_of("assistant", "e-1")
    trace = _stored(settings, call.trace_id)
    (root,) = trace.data.spans
    assert root.inputs == {"text": "hello there", "segments": {"a": "b"}}
    assert root.outputs == {"output": "heard hello there", "probabilities": {"heard": 0.75}, "features": {"words": 2.0}}
    assert (root.get_attribute("model"), root.get_attribute("version")) == ("assistant", "3")
    assert (trace.info.client_request_id, trace.info.state.value) == ("e-1", "OK")
    assert "hello there" in trace.info.request_preview
    assert _stored(settings, failed.trace_id or "").info.state.value == "ERROR"
    counts = calls.tracing.counts().traces
    assert (counts.stored, counts.dropped, counts.waiting) == (2, 0, 0)


def test_no_secret_reaches_the_store(traced: Make, everything_stored: Callable[[], bytes]) -> None:
    def fail(text: str) -> Answer:
        msg = f"cannot say anything about {text}"
        raise RuntimeError(msg)

    with _started(traced()) as calls:
        # The texts around the places where MLflow cuts its previews and where the trace is cut.
        for n, length in enumerate((0, 90, 230, 990, 3990)):
            calls.ask(f"secret-{n}", "harmless " + "x" * length + SECRET, _echo)
        calls.ask(f"secret-of-{ADDRESS}", SECRET, fail)
        calls.tracing.attach(_feedback("secret-0", f"f-{ADDRESS}", SECRET))
        _until(lambda: calls.tracing.counts().feedback.stored == 1)
    assert calls.tracing.counts().traces.stored == 6
    found = everything_stored()
    assert found.count(b"harmless") >= 5
    assert b"[email]" in found
    assert [secret for secret in SECRETS if secret in found] == []
    assert b"sk-Zy9X" not in found


def test_a_text_that_is_no_unicode_and_a_number_that_is_none_are_traced_too(traced: Make) -> None:
    settings = traced()
    with _started(settings) as calls:
        call = calls.ask("half-a-pair", "a\ud800b", lambda _: Answer("c\udfffd", {"x": float("nan")}, {}))
    (root,) = _stored(settings, call.trace_id or "").data.spans
    assert (root.inputs["text"], root.outputs["output"]) == ("a?b", "c?d")
    assert calls.tracing.counts().traces.dropped == 0


def test_a_repeated_request_is_one_trace(traced: Make) -> None:
    settings = traced()
    with _started(settings) as calls:
        ids = {calls.ask("again", "hello", _echo).trace_id for _ in range(2)}
    (trace_id,) = ids
    assert calls.tracing.counts().traces.stored == 2
    assert _stored(settings, trace_id or "").info.client_request_id == "again"


def test_storing_a_trace_twice_stores_it_once(traced: Make) -> None:
    settings = traced()
    with _started(settings) as calls:
        kept: list[Any] = []
        store = calls.tracing._store
        write = store.write
        store.write = lambda trace: [write(trace), kept.append(trace)]  # type: ignore[assignment, method-assign, func-returns-value]
        trace_id = calls.ask("twice", "hello", _echo).trace_id or ""
        _until(lambda: calls.tracing.counts().traces.stored == 1)
        write(kept[0])
    assert len(_stored(settings, trace_id).data.spans) == 1


def test_feedback_is_attached_once_and_only_to_the_trace_of_its_event(traced: Make) -> None:
    settings = traced()
    with _started(settings) as calls:
        one, other = (calls.ask(event_id, "hello", _echo).trace_id or "" for event_id in ("f-1", "f-2"))
        for _ in range(2):
            calls.tracing.attach(_feedback("f-1", "label-1", trace_id=one))
        calls.tracing.attach(_feedback("f-1", "label-2", trace_id=other))
        calls.tracing.attach(_feedback("f-2", "label-3", trace_id=one))
        _until(lambda: calls.tracing.counts().feedback.stored == 2)
    assert calls.tracing.counts().feedback.dropped == 2
    (label,) = _stored(settings, one).info.assessments
    assert (label.name, label.value, label.source.source_id) == ("label", "weather", "desk")
    assert _stored(settings, other).info.assessments == []


def test_feedback_that_comes_before_its_trace_waits_for_it(traced: Make) -> None:
    settings = traced()
    with _started(settings) as calls:
        calls.tracing.attach(_feedback("early", "label-3"))
        _until(lambda: calls.tracing.counts().feedback.waiting == 1)
        trace_id = calls.ask("early", "hello", _echo).trace_id or ""
        _until(lambda: calls.tracing.counts().feedback.stored == 1)
    assert len(_stored(settings, trace_id).info.assessments) == 1


def test_a_call_that_is_not_chosen_leaves_no_trace_even_if_the_model_traces(
    traced: Make, everything_stored: Callable[[], bytes]
) -> None:
    import mlflow

    def trace_itself(text: str) -> Answer:
        with mlflow.start_span("of the model") as span:
            span.set_inputs("unchosen words")
        return _echo(text)

    share = 0.5
    event_id = next(str(n) for n in range(1000) if not is_sampled(str(n), share))
    with _started(traced(trace_share=share)) as calls:
        call = calls.ask(event_id, "hello", trace_itself)
    assert call.answer is not None
    assert call.trace_id is None
    assert b"unchosen words" not in everything_stored()


def test_a_batch_is_one_trace_a_call_and_no_spans_of_anybody_else(
    traced: Make, everything_stored: Callable[[], bytes]
) -> None:
    import mlflow

    share = 0.5
    chosen = [f"b-{n}" for n in range(1000) if is_sampled(f"b-{n}", share)][:2]
    unchosen = next(f"b-{n}" for n in range(1000) if not is_sampled(f"b-{n}", share))
    settings = traced(trace_share=share)
    calls = [_call(event_id, f"text of {event_id}") for event_id in (chosen[0], unchosen, chosen[1])]
    with _started(settings) as started:
        with ExitStack() as looked_at:
            for call in calls:
                looked_at.enter_context(started.tracing(call))
            with mlflow.start_span("of the model") as span:
                span.set_inputs("words of whom")
            for call in calls:
                call.answer = _echo(call.text)
        _until(lambda: started.tracing.counts().traces.stored == 2)
    assert calls[1].trace_id is None
    for call in (calls[0], calls[2]):
        (root,) = _stored(settings, call.trace_id or "").data.spans
        assert root.inputs["text"] == call.text
        assert root.parent_id is None
    found = everything_stored()
    assert f"text of {unchosen}".encode() not in found
    assert b"words of whom" not in found


@pytest.mark.parametrize(("meddles", "names"), [(False, ["look-up", "predict"]), (True, ["predict"])])
def test_spans_of_the_models_own_code_lie_below_the_call_or_nowhere(
    traced: Make, everything_stored: Callable[[], bytes], meddles: bool, names: list[str]
) -> None:
    import mlflow

    def trace_itself(text: str) -> Answer:
        if meddles:
            mlflow.set_experiment("pegel")  # puts mlflow's own tracer back, which masks nothing
        with mlflow.start_span("look-up") as span:
            span.set_inputs(f"for {SECRET}")
        return _echo(text)

    settings, ids = traced(), [f"own-{meddles}-{n}" for n in range(2)]
    with _started(settings) as calls:
        for event_id in ids:
            calls.ask(event_id, "hello", trace_itself)
    mlflow.flush_trace_async_logging()
    for event_id in ids:
        spans = _stored(settings, trace_id_of("assistant", event_id)).data.spans
        assert sorted(span.name for span in spans) == names
    assert [secret for secret in SECRETS if secret in everything_stored()] == []


def test_mlflow_down_changes_no_answer(traced: Make) -> None:
    settings = traced(max_waiting_traces=2)
    with _started(settings) as calls:
        calls.tracing._store._client = _Down()
        answers = [calls.ask(f"down-{n}", "hello", _echo).answer for n in range(5)]
        _until(lambda: calls.tracing.counts().traces.dropped == 3)
    assert answers == [_echo("hello")] * 5
    assert calls.tracing.counts().traces.dropped == 5
    assert calls.tracing.counts().traces.stored == 0


class _Down:
    def __getattr__(self, name: str) -> Any:
        def refuse(*_: Any, **__: Any) -> None:
            msg = f"{name}: connection refused"
            raise ConnectionRefusedError(msg)

        return refuse


def test_without_an_experiment_calls_are_answered_and_counted(traced: Make) -> None:
    settings = traced()
    nowhere = settings.model_copy(update={"mlflow": settings.mlflow.model_copy(update={"experiment": "nowhere"})})
    tracing = Tracing(nowhere)
    tracing.start()
    call = TracedCalls(tracing).ask("e", "hello", _echo)
    tracing.close(PATIENCE_SECONDS)
    assert call.answer == _echo("hello")
    assert call.trace_id is None
    assert tracing.counts().traces.dropped == 1


class _ChatServer(ThreadingHTTPServer):
    """Says back what it was told, as a chat completion; in chunks of four characters if asked to stream."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ChatHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _ChatHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = asked["messages"][-1]["content"]
        head = {"id": "c", "created": 1, "model": asked["model"]}
        if asked.get("stream"):
            pieces = [said[n : n + 4] for n in range(0, len(said), 4)]
            chunks = [
                head | {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": p}}]}
                for p in pieces
            ]
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            body = json.dumps(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
            kind = "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def chat() -> Iterator[Callable[..., Answer]]:
    """A model that asks OpenAI's client, and through it a server on a real socket."""
    import openai

    server = _ChatServer()
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key=KEY, max_retries=0)

    def ask(text: str, *, stream: bool = False) -> Answer:
        made = client.chat.completions.create(
            model="gpt-here",
            messages=[{"role": "system", "content": "be brief"}, {"role": "user", "content": text}],
            extra_headers={"x-caller": ADDRESS},
            stream=stream,
        )
        if stream:
            said = "".join(chunk.choices[0].delta.content or "" for chunk in made)
        else:
            said = made.choices[0].message.content or ""
        return Answer(said, {}, {})

    yield ask
    server.shutdown()


@pytest.mark.parametrize("stream", [False, True])
def test_openai_spans_lie_below_the_call_and_are_masked(
    traced: Make, chat: Callable[..., Answer], everything_stored: Callable[[], bytes], stream: bool
) -> None:
    settings = traced()
    with _started(settings) as calls:
        _until(lambda: calls.tracing._integrated)
        call = calls.ask(f"chat-{stream}", f"tell me {SECRET}", lambda text: chat(text, stream=stream))
        chat("outside of any call")
    assert call.answer is not None
    assert KEY in call.answer.output
    spans = _stored(settings, call.trace_id or "").data.spans
    root, below = sorted(spans, key=lambda span: span.parent_id is not None)
    assert below.parent_id == root.span_id
    assert below.inputs["messages"][-1]["content"] == "tell me mail [email] the key [secret], password: [secret]"
    assert "[email]" in json.dumps(below.outputs)
    found = everything_stored()
    assert [secret for secret in SECRETS if secret in found] == []
    assert b"outside of any call" not in found
    if not stream:
        assert below.get_attribute("mlflow.chat.tokenUsage")["total_tokens"] == 7


def test_the_prompts_own_calls_lie_below_and_those_that_failed_too(
    traced: Make, tmp_path: Path, everything_stored: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, OPENAI_KEY)
    settings = traced()
    with local_resource() as resource, _started(settings) as calls:
        model = model_of(resource, tmp_path)
        _until(lambda: calls.tracing._integrated)

        def ask(text: str) -> Answer:
            return answers_of(model.predict(None, pd.DataFrame({TEXT: [text]})))[0]

        good = calls.ask("prompt-good", f"please play the song for {SECRET}", ask)
        resource.script(Fault(400))
        bad = calls.ask("prompt-bad", f"set the timer for {SECRET}", ask)
    assert good.answer is not None
    assert good.answer.failure is None
    root, below = sorted(_stored(settings, good.trace_id or "").data.spans, key=lambda span: span.parent_id is not None)
    assert (below.parent_id, below.inputs["model"]) == (root.span_id, DEPLOYMENT)
    usage = below.get_attribute("mlflow.chat.tokenUsage")
    assert usage["input_tokens"] == good.answer.event_fields["gen_ai.usage.input_tokens"]
    assert bad.answer is not None
    assert bad.answer.failure is not None
    failed = _stored(settings, bad.trace_id or "")
    assert failed.info.state.value == "ERROR"
    assert [span.status.status_code.value for span in failed.data.spans] == ["ERROR", "ERROR"]
    found = everything_stored()
    assert [secret for secret in (*SECRETS, OPENAI_KEY.encode()) if secret in found] == []
