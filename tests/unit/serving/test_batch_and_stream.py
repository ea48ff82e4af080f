"""Several texts at once, an answer piece by piece, and answers that do not come."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pegel.schemas.model_io import Answer, FailureType
from pegel.serving.call import Call
from pegel.serving.refusal import STATUS_OF_FAILURE

Start = Callable[..., AbstractContextManager[tuple[TestClient, Any]]]

FORBIDS = """
usage:
  disclosure: Made by a machine.
  content: [{name: weapons, phrases: [make a bomb], forbids: true, says: No weapons.}]
"""


def texts(*given: str) -> dict[str, Any]:
    return {"inputs": [{"text": text, "id": f"e{i}"} for i, text in enumerate(given)]}


def test_each_text_of_a_batch_is_answered_and_counted_by_itself(start: Start) -> None:
    with start(usage=FORBIDS, max_text_characters=30) as (client, sent):
        given = texts("hello", "fail", "make a bomb", "x" * 31, "failure:content_filter", "bye")
        answer = client.post("/predict", json=given)
    assert answer.status_code == 200
    told = answer.json()["answers"]
    assert [item.get("status", 200) for item in told] == [200, 500, 403, 413, 400, 200]
    assert [item.get("output") for item in told] == ["greeting", None, None, None, None, "greeting"]
    assert [item.get("reason") for item in told] == [
        None, "model_failed", "forbidden_content", "too_large", "content_filter", None,
    ]  # fmt: skip
    events = {event["event_id"]: event.get("error.type") for event in sent.predictions}
    assert events == {"e0": None, "e1": "RuntimeError", "e4": "content_filter", "e5": None}
    assert len(sent.decisions) == 6


@pytest.mark.parametrize(("number", "status"), [(0, 422), (1, 200), (4, 200), (5, 413)])
def test_a_batch_holds_some_texts_and_no_more_than_allowed(start: Start, number: int, status: int) -> None:
    with start(max_batch_inputs=4) as (client, sent):
        assert client.post("/predict", json=texts(*["a"] * number)).status_code == status
    assert len(sent.predictions) == (number if status == 200 else 0)


@pytest.mark.parametrize("kind", list(FailureType))
def test_a_failure_of_the_service_behind_the_model_keeps_its_meaning(start: Start, kind: FailureType) -> None:
    with start() as (client, sent):
        answer = client.post("/predict", json={"text": f"failure:{kind.value}"})
    assert answer.status_code == STATUS_OF_FAILURE[kind]
    assert (answer.json()["reason"], answer.json()["detail"]) == (kind.value, "One sentence.")
    assert answer.headers.get("Retry-After") == ("3" if answer.status_code in (429, 503) else None)
    (event,) = sent.predictions
    assert (event["error.type"], event["event_id"]) == (kind.value, answer.json()["event_id"])
    assert "output" not in event
    assert [(d["decision"], d["reason"]) for d in sent.decisions] == [("failed", kind.value)]


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    parts = [part.split("\n") for part in text.strip().split("\n\n")]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in parts]


def test_a_stream_gives_the_pieces_and_then_the_answer_and_emits_one_event(start: Start) -> None:
    with start() as (client, sent):
        answer = client.post("/predict", json={"text": "hello", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    pieces = events_of(answer.text)
    assert pieces[:2] == [("delta", {"delta": "gree"}), ("delta", {"delta": "ting"})]
    ((kind, told),) = pieces[2:]
    assert (kind, told["output"], told["finish_reason"]) == ("answer", "greeting", "stop")
    (event,) = sent.predictions
    assert (event["event_id"], event["output"]) == (told["event_id"], "greeting")
    assert event["gen_ai.usage.output_tokens"] == 3


@pytest.mark.parametrize(("text", "status"), [("failure:rate_limited", 429), ("fail", 500), ("make a bomb", 403)])
def test_a_stream_that_cannot_begin_keeps_its_status(start: Start, text: str, status: int) -> None:
    with start(usage=FORBIDS) as (client, sent):
        answer = client.post("/predict", json={"text": text, "stream": True})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert len(sent.predictions) == (status != 403)


class Pieces:
    """Streams until it is closed; its next piece comes when the test lets it."""

    version, shares_turns = "3", False

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.closed, self.more = threading.Event(), threading.Semaphore(1)

    def stream(self, text: str) -> Iterator[str | Answer]:
        try:
            while self.more.acquire(timeout=20):
                yield f"{text} "
                if self.fails:
                    msg = "the line broke"
                    raise ConnectionError(msg)
        finally:
            self.closed.set()


def test_a_stream_that_breaks_ends_with_the_problem(start: Start) -> None:
    with start(model=Pieces(fails=True)) as (client, sent):
        answer = client.post("/predict", json={"text": "hello", "stream": True})
    assert [kind for kind, _ in events_of(answer.text)] == ["delta", "problem"]
    assert events_of(answer.text)[1][1]["reason"] == "model_failed"
    assert sent.predictions[0]["error.type"] == "ConnectionError"


def test_a_caller_that_hangs_up_stops_the_model_and_the_event_says_so(start: Start) -> None:
    model = Pieces()
    with start(model=model) as (client, sent):
        asyncio.run(_hang_up_after_the_first_piece(client.app, model))
        assert model.closed.wait(20)
    (event,) = sent.predictions
    assert (event["error.type"], event["output"].split()[0]) == ("client_disconnected", "hello")


async def _hang_up_after_the_first_piece(app: Any, model: Pieces) -> None:
    body, begun = json.dumps({"text": "hello", "stream": True}).encode(), asyncio.Event()
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        for message in asked:
            return message
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            begun.set()

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST", "path": "/predict",
        "raw_path": b"/predict", "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    model.more.release(5)


class Slow:
    """Answers when the test lets it; notices how many wait."""

    version, shares_turns = "3", True

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def answer(self, text: str) -> Answer:
        return Answer(text.upper(), {}, {})

    def answer_all(self, given: Sequence[str]) -> list[Answer]:
        self.asked.append(list(given))
        self.begun.release()
        assert self.go.wait(20)
        return [self.answer(text) for text in given]

    def stream(self, text: str) -> Iterator[str | Answer]:
        yield from self.answer_all([text])


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_504_and_one_event(start: Start, stream: bool) -> None:
    model = Slow()
    with start(model=model, answer_seconds=0.05) as (client, sent):
        answer = client.post("/predict", json={"text": "hello", "stream": stream})
        model.go.set()
    assert (answer.status_code, answer.json()["reason"]) == (504, "timeout")
    assert [event["error.type"] for event in sent.predictions] == ["timeout"]
    assert sent.predictions[0]["event_id"] == answer.json()["event_id"]


def test_more_requests_than_may_be_under_way_are_told_to_come_back(start: Start) -> None:
    model = Slow()
    with start(model=model, answer_seconds=0.05, max_under_way=1) as (client, sent):
        assert client.post("/predict", json={"text": "a"}).status_code == 504
        answer = client.post("/predict", json={"text": "b"})
        assert (answer.status_code, answer.json()["reason"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) >= 1
        model.go.set()
    assert [event["input"] for event in sent.predictions] == ["a"]


def test_texts_that_wait_are_asked_together_and_each_gets_its_own_answer(start: Start) -> None:
    model, answers = Slow(), {}
    with start(model=model) as (client, sent):

        def ask(text: str) -> None:
            answers[text] = client.post("/predict", json={"text": text}).json()["output"]

        threads = [threading.Thread(target=ask, args=(f"t{i}",)) for i in range(8)]
        threads[0].start()
        assert model.begun.acquire(timeout=20)
        for thread in threads[1:]:
            thread.start()
        model.go.set()
        for thread in threads:
            thread.join(20)
    assert answers == {f"t{i}": f"T{i}" for i in range(8)}
    assert sorted(text for turn in model.asked for text in turn) == sorted(answers)
    assert len(sent.predictions) == 8


def test_who_looks_at_predictions_sees_each_and_cannot_break_one(start: Start) -> None:
    seen: list[tuple[str, Any]] = []

    @contextmanager
    def look(call: Call) -> Iterator[None]:
        call.trace_id = f"tr-{call.text}"
        yield
        seen.append((call.text, call.answer.output if call.answer else call.error_type))
        msg = "the tracer is broken"
        raise ValueError(msg)

    def broken(call: Call) -> Any:
        raise ValueError(call.text)

    with start(arounds=(broken, look)) as (client, sent):
        answers = client.post("/predict", json=texts("a", "b")).json()["answers"]
        assert client.post("/predict", json={"text": "fail"}).status_code == 500
        streamed = client.post("/predict", json={"text": "c", "stream": True})
    assert sorted(seen) == [("a", "greeting"), ("b", "greeting"), ("c", "greeting"), ("fail", "RuntimeError")]
    assert [answer["trace_id"] for answer in answers] == ["tr-a", "tr-b"]
    assert events_of(streamed.text)[-1][1]["trace_id"] == "tr-c"
    assert {event["trace_id"] for event in sent.predictions} == {"tr-a", "tr-b", "tr-fail", "tr-c"}
