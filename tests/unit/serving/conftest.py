"""A champion and producers that need neither registry nor hub."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pegel.conf.settings import Settings
from pegel.schemas.model_io import Answer
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool

NOW = datetime(2026, 11, 25, 3, 0, 0, 123456, tzinfo=UTC)


class KnownModel:
    """Answers everything with ``greeting``; the text ``fail`` makes it raise."""

    version = "3"
    shares_turns = True

    def answer(self, text: str) -> Answer:
        if text == "fail":
            msg = "a secret of the model"
            raise RuntimeError(msg)
        return Answer("greeting", {"greeting": 0.75, "weather": 0.25}, {"known_word_share": 0.5})

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        return [self.answer(text) for text in texts]

    def stream(self, text: str) -> Iterator[str | Answer]:
        yield "gree"
        yield "ting"
        yield self.answer(text)


class Sent:
    """What reached the two hubs, as JSON."""

    def __init__(self) -> None:
        self.predictions: list[dict[str, Any]] = []
        self.feedback: list[dict[str, Any]] = []


Start = Callable[..., AbstractContextManager[tuple[TestClient, Sent]]]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextmanager
    def run(*, loaded: bool = True) -> Iterator[tuple[TestClient, Sent]]:
        settings, sent = Settings(), Sent()
        champion = Champion(settings)
        champion.poll = lambda: False  # type: ignore[method-assign]
        if loaded:
            champion._current = KnownModel()  # type: ignore[assignment]
        producers = [
            EventProducer(
                name,
                lambda bodies, into=into: into.extend(json.loads(body) for body in bodies),  # type: ignore[misc]
                Spool(tmp_path / name),
                flush_seconds=0.01,
                max_buffered_events=1000,
            )
            for name, into in (("predictions", sent.predictions), ("feedback", sent.feedback))
        ]
        with TestClient(create_app(Serving(settings, champion, *producers, now=lambda: NOW))) as client:
            yield client, sent

    return run
