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
from pegel.schemas.model_io import Answer, Failure, FailureType
from pegel.schemas.usage_policy import UsagePolicy
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.gate import Gate
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool
from pegel.serving.usage import Credentials, load_usage

NOW = datetime(2026, 11, 25, 3, 0, 0, 123456, tzinfo=UTC)


class KnownModel:
    """Answers everything with ``greeting``; ``fail`` makes it raise, ``failure:TYPE`` give a failure of that type."""

    version = "3"
    shares_turns = True

    def answer(self, text: str) -> Answer:
        if text == "fail":
            msg = "a secret of the model"
            raise RuntimeError(msg)
        if text.startswith("failure:"):
            return Answer("", {}, {}, {}, Failure(FailureType(text.removeprefix("failure:")), "One sentence.", 2.5))
        fields = {"gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.output_tokens": 3}
        return Answer("greeting", {"greeting": 0.75, "weather": 0.25}, {"known_word_share": 0.5}, fields)

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        return [self.answer(text) for text in texts]

    def stream(self, text: str) -> Iterator[str | Answer]:
        answer = self.answer(text)
        if answer.failure is None:
            yield "gree"
            yield "ting"
        yield answer


class Sent:
    """What reached the two hubs, as JSON, and the audit trail."""

    def __init__(self) -> None:
        self.predictions: list[dict[str, Any]] = []
        self.feedback: list[dict[str, Any]] = []
        self.decisions: list[dict[str, Any]] = []

    def put(self, **said: Any) -> None:
        self.decisions.append(said)


Start = Callable[..., AbstractContextManager[tuple[TestClient, Sent]]]


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextmanager
    def run(
        *, loaded: bool = True, usage: str = "", model: Any = None, arounds: Sequence[Any] = (), **serving: Any
    ) -> Iterator[tuple[TestClient, Sent]]:
        settings, sent = Settings.model_validate({"serving": serving}), Sent()
        champion = Champion(settings)
        champion.poll = lambda: False  # type: ignore[method-assign]
        if loaded:
            champion._current = model or KnownModel()
        policy, credentials = UsagePolicy(), Credentials({}, {}, {})
        if usage:
            (tmp_path / "usage.yml").write_text(usage, encoding="utf-8")
            policy, credentials = load_usage(str(tmp_path / "usage.yml"))
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
        gate = Gate(settings.model.name, policy=policy, credentials=credentials, trail=sent)
        app = create_app(Serving(settings, champion, *producers, gate, arounds, now=lambda: NOW))
        with TestClient(app) as client:
            yield client, sent

    return run
