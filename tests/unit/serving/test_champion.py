"""The champion in memory: what replaces it, and what does not."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from pegel.conf.settings import Settings
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PASSED, VALIDATION_PENDING, Answer
from pegel.serving import champion as module
from pegel.serving.champion import Champion
from pegel.serving.served_model import ModelFailedError


class Registry:
    """A registry whose alias the test moves; ``down`` is what it fails with."""

    def __init__(self) -> None:
        self.version, self.validation = "1", VALIDATION_PASSED
        self.down: Exception | None = None

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        assert (name, alias) == ("assistant", "champion")
        if self.down:
            raise self.down
        return SimpleNamespace(version=self.version, tags={TAG_VALIDATION: self.validation})


class Models:
    """What the registry's versions load to; a version that is ``broken`` does not."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.stood_back: list[bool] = []
        self.broken: set[str] = set()

    def load(self, settings: Settings, version: str, *, stands_back: bool) -> Any:
        self.stood_back.append(stands_back)
        assert settings.model.name == "assistant"
        self.loaded.append(version)
        if version in self.broken:
            raise ModelFailedError("OSError", f"version {version} has lost its file\nand more")
        answer = Answer(version, {}, {})
        return SimpleNamespace(version=version, is_alive=True, answer=lambda _text: answer)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    made = Models()
    monkeypatch.setattr(module, "load_version", made.load)
    return made


@pytest.fixture
def champion(registry: Registry, models: Models) -> Champion:
    del models
    made = Champion(Settings())
    made._client = registry
    return made


def serves(champion: Champion) -> str:
    assert champion.current is not None
    return champion.current.answer("a").output


def test_the_alias_is_followed_and_a_version_is_loaded_once(
    champion: Champion, registry: Registry, models: Models
) -> None:
    assert champion.current is None
    assert (champion.poll(), champion.poll(), serves(champion)) == (True, False, "1")
    registry.version = "2"
    assert (champion.poll(), champion.poll(), serves(champion)) == (True, False, "2")
    assert models.loaded == ["1", "2"]
    assert models.stood_back == [False, True], "the first one holds nobody up"


def test_a_request_keeps_the_version_that_it_took(champion: Champion, registry: Registry) -> None:
    champion.poll()
    taken = champion.current
    registry.version = "2"
    champion.poll()
    assert taken is not None
    assert (taken.version, taken.answer("a").output) == ("1", "1")


@pytest.mark.parametrize("reason", ["not validated", "does not load"])
def test_a_version_that_may_not_or_cannot_serve_replaces_nothing(
    champion: Champion, registry: Registry, models: Models, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(
        module, "time", SimpleNamespace(monotonic=lambda: clock.now, perf_counter=module.time.perf_counter)
    )
    champion.poll()
    registry.version = "2"
    if reason == "not validated":
        registry.validation = VALIDATION_PENDING
    models.broken = {"2"}
    assert not champion.poll()
    assert serves(champion) == "1"
    assert "version 2" in champion.problem
    assert "\n" not in champion.problem
    tried = len(models.loaded)
    models.broken, registry.validation = set(), VALIDATION_PASSED
    assert not champion.poll(), "it is not tried at every turn"
    assert len(models.loaded) == tried
    clock.now += module.RETRY_REFUSED_SECONDS
    assert champion.poll()
    assert (serves(champion), champion.problem) == ("2", "")


def test_while_the_registry_is_down_the_version_in_memory_goes_on(
    champion: Champion, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    champion.poll()
    registry.down, registry.version = ConnectionError("refused"), "2"
    with caplog.at_level(logging.WARNING):
        assert [champion.poll() for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1, "the same trouble is told once"
    assert (serves(champion), champion.problem) == ("1", "ConnectionError: refused")
    registry.down = None
    assert champion.poll()
    assert (serves(champion), champion.problem) == ("2", "")


def test_a_version_whose_process_has_ended_is_loaded_again(
    champion: Champion, models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    champion.poll()
    assert champion.current is not None
    champion.current.is_alive = False  # type: ignore[misc]
    models.broken = {"1"}
    assert not champion.poll()
    assert champion.current is None, "nobody is sent to a process that has ended"
    assert champion.problem == "OSError: version 1 has lost its file"
    assert "has ended" in caplog.text
    models.broken = set()
    champion._refused = ("", 0.0)
    assert (champion.poll(), serves(champion), champion.problem) == (True, "1", "")
