from dataclasses import replace

import pytest

from pegel.streaming.ingest.batch import BatchCounts

WHOLE = BatchCounts(
    received=10, stored=7, dead_letters=2, duplicates=1, in_partials=7,
    feedback_received=5, feedback_stored=3, feedback_dead_letters=1, feedback_duplicates=1,
    matched=3, unmatched=1, joined_later=1,
)  # fmt: skip


def test_counts_that_add_up_are_conserved() -> None:
    assert WHOLE.conserved


@pytest.mark.parametrize("name", ["received", "stored", "dead_letters", "duplicates", "in_partials"])
@pytest.mark.parametrize("by", [-1, 1])
def test_one_event_too_many_or_too_few_is_not_conserved(name: str, by: int) -> None:
    assert not replace(WHOLE, **{name: getattr(WHOLE, name) + by}).conserved


@pytest.mark.parametrize(
    "name", ["feedback_received", "feedback_stored", "feedback_dead_letters", "feedback_duplicates"]
)
def test_one_feedback_event_too_many_is_not_conserved(name: str) -> None:
    assert not replace(WHOLE, **{name: getattr(WHOLE, name) + 1}).conserved


def test_more_labels_joined_than_were_stored_is_not_conserved() -> None:
    assert not replace(WHOLE, matched=5).conserved
