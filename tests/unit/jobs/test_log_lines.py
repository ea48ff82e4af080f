"""What comes from outside neither forges a line of the log nor reaches a terminal as a command."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import exit_with
from pegel.jobs.wiring.log_lines import FORMAT, OneLine

hostile = st.text(st.characters() | st.sampled_from("\x1b\r\n\u2028\u202e\x85\x00"))


def record(message, *arguments, error=None):
    failed = (type(error), error, None) if error else None
    return logging.LogRecord("pegel", logging.INFO, __file__, 1, message, arguments, failed)


@given(hostile)
def test_a_message_is_one_printable_line(text):
    assert OneLine(FORMAT).format(record("the event %s is refused", text)).isprintable()


@given(hostile)
def test_no_line_of_a_traceback_passes_for_one_of_the_log(text):
    first, *others = OneLine(FORMAT).format(record("it failed", error=ValueError(text))).split("\n")
    assert first.endswith("INFO pegel: it failed")
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert any("ValueError" in line for line in others)


def test_the_sentence_in_which_a_job_ends_is_one_line(capsys):
    def main():
        raise OutsideError("the hub 'a\nb\x1b[2J' is away")

    with pytest.raises(SystemExit):
        exit_with(main)
    assert capsys.readouterr().err == "pegel: the hub 'a\\nb\\x1b[2J' is away\n"
