"""Each step of the exercise has a place, a command and tests that are really there and always run."""

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


def named_in(row: list[str]) -> list[tuple[Path, str]]:
    """File and name of each test in a row."""
    cells = (in_code(cell).partition("::") for cell in row[3].split("<br>"))
    return [(ROOT / file, name) for file, _, name in cells]


def functions_in(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def fixtures_of(file: Path, name: str) -> set[str]:
    """What a test asks for, and what that asks for in turn: fixtures of its file and of each conftest.py above it."""
    homes = [folder / "conftest.py" for folder in file.parents if folder.is_relative_to(ROOT / "tests")]
    known = {k: node for home in [*reversed(homes), file] if home.exists() for k, node in functions_in(home).items()}
    asked: set[str] = set()
    waiting = [name]
    while waiting:
        node = known.get(waiting.pop())
        more = {argument.arg for argument in node.args.args} - asked if node else set()
        asked |= more
        waiting += more
    return asked


def marks_of(file: Path, name: str) -> str:
    """The decorators of a test and the mark of its whole file, as they are written."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    whole = [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    return " ".join(ast.unparse(node) for node in [*functions_in(file)[name].decorator_list, *whole])


def test_every_step_has_a_row() -> None:
    assert {int(row[0].split()[0]) for row in ROWS} == set(range(1, STEPS + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_place_and_tests_of_a_step_are_there(row: list[str]) -> None:
    assert (ROOT / in_code(row[1])).exists()
    for file, name in named_in(row):
        assert name.startswith("test_")
        assert name in functions_in(file)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_tests_of_a_step_run_with_all_others_and_one_of_them_without_the_real_data(row: list[str]) -> None:
    for file, name in named_in(row):
        assert not re.search(r"\b(soak|skip|skipif|xfail)\b", marks_of(file, name)), name
    assert [name for file, name in named_in(row) if "shared_data" not in fixtures_of(file, name)]


def test_tests_that_would_not_run_are_known() -> None:
    demo, mitigation = ROOT / "tests/e2e/test_demo.py", ROOT / "tests/unit/lifecycle/test_mitigation.py"
    assert "soak" in marks_of(demo, "test_demo_of_a_prompt_closes_its_loop_with_the_next_prompt_version")
    assert "pytest.mark.install" in marks_of(
        ROOT / "tests/install/test_wheel.py", "test_plain_wheel_requires_no_spark_of_its_own"
    )
    assert "shared_data" in fixtures_of(mitigation, "test_file_of_scores_has_the_published_rates")
    assert "shared_data" not in fixtures_of(mitigation, "test_another_seed_holds_out_other_rows")


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
