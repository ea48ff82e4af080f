"""Each promise of docs/guarantees.md names tests that are really there, or says that nothing shows it."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PROMISES = yaml.safe_load((ROOT / "docs" / "guarantees.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise["fault"][:40])
def test_a_promise_names_tests_that_are_there_and_not_only_long_ones(promise: dict[str, Any]) -> None:
    assert promise.keys() <= {"fault", "promise", "tests", "missing"}
    assert promise["fault"].endswith(".")
    for named in promise.get("tests", ()):
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        tests = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef) and "test_" in node.name}
        assert tests
        assert not name or "soak" not in " ".join(map(ast.unparse, tests[name].decorator_list))
    assert promise.get("tests") or promise["missing"]
