"""Each step of the exercise has a place, a command and a test that are really there."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from pegel.cli import JOBS

ROOT = Path(__file__).resolve().parents[3]
STEPS = 7


def rows() -> list[list[str]]:
    page = (ROOT / "docs" / "exercise.md").read_text(encoding="utf-8").split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return cells[2:]


ROWS = rows()


def in_code(cell: str) -> str:
    (found,) = re.findall(r"^`([^`]+)`$", cell)
    return str(found)


def functions_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_step_has_a_row() -> None:
    assert {int(row[0].split()[0]) for row in ROWS} == set(range(1, STEPS + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_place_and_test_of_a_step_are_there(row: list[str]) -> None:
    _, place, _, test = row
    assert (ROOT / in_code(place)).exists()
    file, _, name = in_code(test).partition("::")
    assert name in functions_in(ROOT / file)


@pytest.mark.parametrize("row", [row for row in ROWS if "`pegel " in row[2]], ids=lambda row: row[0])
def test_command_of_a_step_is_one_that_its_job_explains(row: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, name, *words = in_code(row[2]).split()
    assert name in JOBS
    options = [word for word in words if word.startswith("--")]
    subcommand = words[:1] if name == "audit" else []
    with pytest.raises(SystemExit) as ended:
        import_module(f"pegel.jobs.{name.replace('-', '_')}").main([*subcommand, "--help"])
    assert ended.value.code == 0
    explained = capsys.readouterr().out
    assert [option for option in options if option not in explained] == []


@pytest.mark.parametrize("row", [row for row in ROWS if "ipynb" in row[2] or "--template-file" in row[2]], ids=str)
def test_file_that_a_command_names_is_there(row: list[str]) -> None:
    named = re.findall(r"[\w/]+\.(?:ipynb|bicep|json)", row[2])
    assert named
    assert all((ROOT / path).is_file() for path in named)
