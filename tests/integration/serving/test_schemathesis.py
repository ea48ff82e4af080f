"""Schemathesis reads the description of serving and then sends whatever it allows, and what it does not.

In process, with a key, always the same examples: every answer has to be one that the description names, in its form.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

from pegel.conf.settings import Settings
from pegel.schemas.model_io import Answer
from pegel.schemas.usage_policy import CallerRule, ForbiddenUse, Risk, UsagePolicy
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.gate import Gate
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool
from pegel.serving.usage import Credentials

KEY = "fuzz" * 10
EXAMPLES = 60
GENERATION = GenerationConfig(max_examples=EXAMPLES, deterministic=True, database="none")
CONFIG = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=GENERATION)), seed=7)
HEALTH = list(HealthCheck)


class Parrot:
    """Says what it is told, with probabilities; what a text says of itself comes from its hash."""

    version, shares_turns = "3", True

    def answer(self, text: str) -> Answer:
        share = hashlib.sha256(text.encode()).digest()[0] / 255
        return Answer(text, {"a": share, text: 1 - share}, {"share": share}, {"note": text})

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        return [self.answer(text) for text in texts]

    def stream(self, text: str) -> Iterator[str | Answer]:
        yield from text[:5]
        yield self.answer(text)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    plain = Settings()
    champion = Champion(plain)
    champion._current = Parrot()  # type: ignore[assignment]
    policy = UsagePolicy(
        disclosure="Made by a machine.",
        purposes={"support": Risk.LOW, "advice": Risk.HIGH},
        forbidden_uses=(ForbiddenUse("scoring", "Nobody is scored."),),
        callers=(CallerRule("fuzzer", ("*",), ("support", "advice"), 10**9),),
    )
    credentials = Credentials({hashlib.sha256(KEY.encode()).digest(): "fuzzer"}, {}, {})
    producers = [
        EventProducer(hub, lambda _: None, Spool(folder / hub), flush_seconds=1, max_buffered_events=100_000)
        for hub in ("predictions", "feedback")
    ]
    gate = Gate(plain.model.name, policy=policy, credentials=credentials)
    made = create_app(Serving(plain, champion, *producers, gate, now=lambda: datetime(2026, 11, 25, tzinfo=UTC)))

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        # Each request would start and stop all threads anew.
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await made(scope, receive, send)

    return without_lifespan


@pytest.fixture(scope="module")
def description(app: Any) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=CONFIG)


TAKES_A_BODY = ("POST /predict", "POST /feedback")
OPERATIONS = (*TAKES_A_BODY, "GET /health", "GET /health/live", "GET /health/ready", "GET /metrics")
ALLOWED, NOT_ALLOWED = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
TRIED = [(label, ALLOWED) for label in OPERATIONS] + [(label, NOT_ALLOWED) for label in TAKES_A_BODY]


def test_every_operation_of_the_description_is_tried(description: Any) -> None:
    assert {operation.ok().label for operation in description.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_serving_does_what_its_description_says(description: Any, label: str, mode: Any) -> None:
    method, path = label.split()
    operation = description[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=HEALTH)
    def tried(case: schemathesis.Case) -> None:
        case.call_and_validate(headers={"X-API-Key": KEY})

    tried()


@pytest.mark.parametrize("label", OPERATIONS)
def test_serving_does_so_at_every_boundary_that_the_description_names(description: Any, label: str) -> None:
    method, path = label.split()
    cases = description.iter_coverage_cases(
        description[path][method], generation_modes=[ALLOWED, NOT_ALLOWED], generation_config=GENERATION
    )
    for case in cases:
        case.call_and_validate(headers={"X-API-Key": KEY})
