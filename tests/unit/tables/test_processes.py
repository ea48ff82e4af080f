"""Processes by more than their number."""

import os
import signal
import subprocess
import sys

import pytest

from pegel.tables.processes import is_there, name_of_this

SAYS_ITS_NAME = (
    "import sys; from pegel.tables.processes import name_of_this; print(name_of_this()); sys.stdout.flush(); input()"
)


def test_a_process_is_there_until_it_ends_even_if_nobody_has_looked_after_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", SAYS_ITS_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        name = child.stdout.readline().decode().strip()
        assert is_there(name)
        os.kill(child.pid, signal.SIGKILL)
        # It stays in the list of processes as long as its parent does not ask for it.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_there(name) is False
    finally:
        child.kill()
        child.communicate()
    assert is_there(name) is False


def test_another_process_with_the_same_number_is_not_the_one_that_is_meant() -> None:
    name = name_of_this()
    place, number, began = name.rsplit(" ", 2)
    assert is_there(name)
    assert number == str(os.getpid())
    assert is_there(f"{place} {number} {int(began) - 1}") is False


@pytest.mark.parametrize("name", ["", "1", "another machine 1 1"])
def test_of_another_machine_nothing_is_known(name: str) -> None:
    assert is_there(name) is None
