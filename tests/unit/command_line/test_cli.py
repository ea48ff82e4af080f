"""The command line: every job has help, errors are one sentence with the exit code of their kind."""

import subprocess
import sys

import pytest

from pegel.cli import JOBS


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pegel.cli", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("job", sorted(JOBS))
def test_every_job_has_its_own_help(job: str) -> None:
    shown = run(job, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"pegel {job}" in shown.stdout


def test_the_version_is_told() -> None:
    shown = run("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("pegel 0.")


def test_wrong_usage_ends_with_2_and_wrong_settings_with_3() -> None:
    assert run("deliver", "--no-such-option").returncode == 2
    refused = run("deliver", "--set", "storage.rot=x")
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1
    assert "did you mean 'root'" in refused.stderr
