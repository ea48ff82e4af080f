"""The command line: every job has help, errors are one sentence with the exit code of their kind."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pegel.jobs
from pegel.cli import JOBS, app
from pegel.errors import ContractError, OutsideError, PegelError, ReplayError, SettingsError
from pegel.jobs.wiring.arguments import exit_with

MODULES = sorted(path.stem for path in Path(pegel.jobs.__path__[0]).glob("*.py") if path.stem != "__init__")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pegel.cli", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_every_job_is_a_command_and_every_command_a_job() -> None:
    assert sorted(name.replace("-", "_") for name in JOBS) == MODULES


@pytest.mark.parametrize("job", sorted(JOBS))
def test_every_command_shows_the_help_of_its_job(job: str) -> None:
    shown = CliRunner().invoke(app, [job, "--help"])
    assert shown.exit_code == 0, shown.output
    assert f"pegel {job}" in shown.stdout


@pytest.mark.parametrize("module", MODULES)
def test_every_job_is_a_program_of_its_own(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    file = Path(pegel.jobs.__path__[0]) / f"{module}.py"
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name="__main__")  # as spark-submit starts it
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"pegel {module.replace('_', '-')}" in shown
    if module != "demo":
        assert all(option in shown for option in ("--config", "--set", "--available-now"))


def test_the_program_answers_as_the_commands_do() -> None:
    shown = run("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("pegel 0.")
    assert run("deliver", "--no-such-option").returncode == 2
    refused = run("deliver", "--set", "storage.rot=x")
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1
    assert "did you mean 'root'" in refused.stderr


@pytest.mark.parametrize(
    ("error", "code"), [(PegelError, 1), (ContractError, 1), (ReplayError, 1), (SettingsError, 3), (OutsideError, 4)]
)
def test_an_error_is_one_sentence_and_the_exit_code_of_its_kind(
    error: type[PegelError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> int:
        msg = "the hub is down; start it"
        raise error(msg)

    with pytest.raises(SystemExit) as ended:
        exit_with(main)
    assert ended.value.code == code
    assert capsys.readouterr().err == "pegel: the hub is down; start it\n"


def test_a_job_that_returns_nothing_ends_with_0() -> None:
    with pytest.raises(SystemExit) as ended:
        exit_with(lambda: None)
    assert ended.value.code == 0
