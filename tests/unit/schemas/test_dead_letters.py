"""Who may be sent without "again", and what a person may type."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import SettingsError
from pegel.schemas.dead_letters import (
    NOT_SENT,
    Place,
    RequeueState,
    may_be_sent,
    read_moment,
    read_place,
)

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
runs = st.lists(st.sampled_from([RequeueState.SENT, *sorted(NOT_SENT), None]), max_size=6)
"""How requeues ended; None for one that was cut off."""


def states_of(ends):
    return [state for end in ends for state in (RequeueState.CLAIMED, end) if state is not None]


@given(runs)
def test_a_dead_letter_may_be_sent_if_every_requeue_is_known_to_have_sent_nothing(ends):
    assert may_be_sent(states_of(ends)) is all(end in NOT_SENT for end in ends)


names = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1)


@given(names, names, st.integers(0, 10**18 - 1))
def test_a_place_is_read_as_it_is_written(hub, partition, offset):
    place = Place(hub, partition, offset)
    assert read_place(str(place)) == place


@given(st.text())
def test_a_text_is_a_place_or_is_refused(text):
    try:
        read = read_place(text)
    except SettingsError:
        return
    assert str(read).rpartition("/")[0] == text.rpartition("/")[0]
    assert read.offset == int(text.rpartition("/")[2])


@given(st.text() | st.from_regex(r"\A[0-9]{1,7}[mhd]\Z"))
def test_a_text_is_a_moment_with_an_offset_or_is_refused(text):
    try:
        moment = read_moment(text, NOW)
    except SettingsError:
        return
    assert moment.utcoffset() is not None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", datetime(2026, 11, 27, 10, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("2026-11-27", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-27T10:00:00Z", datetime(2026, 11, 27, 10, tzinfo=UTC)),
        ("2026-11-27T10:00:00-02:00", datetime(2026, 11, 27, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_utc_unless_it_says_otherwise(text, moment):
    assert read_moment(text, NOW) == moment
