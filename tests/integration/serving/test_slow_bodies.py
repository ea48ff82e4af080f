"""Callers on a real socket that send slowly, or not at all."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from pegel.conf.settings import Settings
from pegel.jobs.wiring.web_server import listen
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool

HEAD = b"POST /predict HTTP/1.1\r\nHost: pegel\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
BODY = b'{"text": "abc"}'


@pytest.fixture
def port(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    settings = Settings.model_validate({"serving": {"body_seconds": getattr(request, "param", 30)}})
    champion = Champion(settings)
    champion.poll = lambda: False  # type: ignore[method-assign]
    producers = [
        EventProducer(hub, lambda _: None, Spool(tmp_path / hub), flush_seconds=1, max_buffered_events=10)
        for hub in ("predictions", "feedback")
    ]
    taken = listen("127.0.0.1", 0, "serving")
    server = uvicorn.Server(uvicorn.Config(create_app(Serving(settings, champion, *producers)), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    yield taken.getsockname()[1]
    server.should_exit = True
    thread.join(20)


def answer_to(port: int, *parts: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.recv(65_536)


@pytest.mark.parametrize("port", [0.2], indirect=True)
@pytest.mark.parametrize("parts", [(HEAD,), (HEAD, BODY[:5])])
def test_a_body_that_does_not_come_is_answered_408(port: int, parts: tuple[bytes, ...]) -> None:
    answer = answer_to(port, *parts)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"reason":"body_too_slow"' in answer


def test_a_body_in_pieces_is_taken(port: int) -> None:
    assert answer_to(port, HEAD, BODY[:5], BODY[5:]).startswith(b"HTTP/1.1 503 "), "no champion, but a whole body"
