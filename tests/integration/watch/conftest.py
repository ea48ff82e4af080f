"""A recorded run, and copies of it that a test may change."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from equipment.recorded_run import Run, record, settings_of


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nobody changes this one."""
    return record(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def copied(recorded: Run, tmp_path: Path) -> Callable[[], Run]:
    """Makes a copy."""

    def _copy() -> Run:
        root = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(recorded.root, root)
        settings, overrides = settings_of(root, Path(recorded.settings.watch.policy))
        return replace(recorded, root=root, settings=settings, overrides=overrides)

    return _copy
