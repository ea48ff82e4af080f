"""The worked examples in docstrings are true."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = (
    "schemas", "conf", "tables", "streaming", "alerts", "lifecycle", "serving", "dashboard", "jobs", "local",
)  # fmt: skip

MODULES = sorted(
    "pegel." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_are_true(module: str) -> None:
    done = doctest.testmod(import_module(module), report=False)
    assert done.attempted > 0
    assert done.failed == 0
