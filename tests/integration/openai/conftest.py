"""One resource for all tests here; each test has its own model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from equipment.openai_resource import KEY, KEY_VARIABLE, local_resource, model_of

from pegel.local.openai import LocalOpenAi


@pytest.fixture(scope="module")
def resource() -> Iterator[LocalOpenAi]:
    with local_resource() as server:
        yield server


@pytest.fixture
def model(resource: LocalOpenAi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return lambda **change: model_of(resource, tmp_path, **change)
