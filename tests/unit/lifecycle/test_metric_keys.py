import re

from hypothesis import example, given
from hypothesis import strategies as st

from pegel.lifecycle.metric_keys import decode_name, encode_name, metric_key

# As MLflow checks a name, less what this project does not use: `/` parts a key, and a space would be lost at its ends.
ALLOWED = re.compile(r"^[A-Za-z0-9_.:-]*$")


@given(st.text(st.characters(), max_size=40))
@example("a/b")
@example(":41")
@example("../..")
@example("\ud800")
def test_encoded_name_has_only_allowed_characters_and_can_be_read_back(name: str) -> None:
    encoded = encode_name(name)
    assert ALLOWED.match(encoded)
    assert decode_name(encoded) == name


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_names_have_different_keys(one: str, other: str) -> None:
    keys = [
        metric_key("psi", column, version="1", window_s=10, base_window_s=10, revision=1) for column in (one, other)
    ]
    assert (keys[0] == keys[1]) == (one == other)


def test_keys_of_windows_versions_and_revisions_do_not_meet() -> None:
    keys = {
        metric_key("psi", "x", version=version, window_s=window_s, base_window_s=10, revision=revision)
        for version in ("1", "2")
        for window_s in (10, 60)
        for revision in (1, 2)
    }
    assert len(keys) == 8
