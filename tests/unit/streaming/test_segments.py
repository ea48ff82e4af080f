from hypothesis import given
from hypothesis import strategies as st

from pegel.schemas.grids import OTHER_NAME
from pegel.streaming.profile.segments import Segments

names = st.sets(st.sampled_from("abcdefgh"), max_size=6)


def admitted(segments: Segments) -> set[str]:
    return segments._names["channel"]


@given(st.lists(names, max_size=6))
def test_segments_admit_in_the_order_of_micro_batches_and_names_until_there_is_no_room(batches: list[set[str]]) -> None:
    segments = Segments(["channel"], 3)
    expected: list[str] = []
    for batch in batches:
        segments.admit({"channel": batch})
        expected += [name for name in sorted(batch) if name not in expected]
    assert admitted(segments) == set(expected[:3])


@given(st.lists(names, min_size=1, max_size=6))
def test_segments_restored_from_stored_partials_go_on_as_if_there_had_been_no_restart(batches: list[set[str]]) -> None:
    whole, first = Segments(["channel"], 4), Segments(["channel"], 4)
    for batch in batches[:-1]:
        whole.admit({"channel": batch})
        first.admit({"channel": batch})
    stored = ["*", f"channel={OTHER_NAME}", "forgotten=x", *(f"channel={name}" for name in admitted(first))]
    again = Segments(["channel"], 4)
    again.admit({"channel": {"of a batch that was never committed"}})
    again.restore(stored)
    whole.admit({"channel": batches[-1]})
    again.admit({"channel": batches[-1]})
    assert admitted(again) == admitted(whole)


def test_a_value_with_an_equals_sign_is_restored_whole() -> None:
    segments = Segments(["channel"], 4)
    segments.restore(["channel=a=b"])
    assert admitted(segments) == {"a=b"}
