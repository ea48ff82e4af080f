import string
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pegel.dashboard.views.words import Level, visible


@given(st.text())
def test_visible_text_holds_nothing_that_acts(text):
    shown = visible(text)

    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Zl", "Zp", "Cs"} for char in shown)


@given(st.text(), st.integers(1, 50))
def test_visible_text_is_never_longer_than_its_limit(text, limit):
    assert len(visible(text, limit)) <= limit


@given(st.text(string.ascii_letters + string.punctuation + "äöüß漢字 ", max_size=80))
def test_visible_leaves_plain_text_as_it_is(text):
    assert visible(text) == text


def test_levels_are_ranked_from_the_worst():
    assert sorted(Level, key=lambda level: level.rank) == [Level.BROKEN, Level.WATCH, Level.UNKNOWN, Level.OK]
