from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pegel.lifecycle.evaluation import MIN_UNSEEN_ROWS, choose_judged, compare, split_in_time
from pegel.lifecycle.training_rows import LabelledRow
from pegel.schemas.model_io import Answer

START = datetime(2026, 11, 25, tzinfo=UTC)


def rows_of(count: int, text: str = "text {}") -> list[LabelledRow]:
    return [LabelledRow(f"e{i}", START + timedelta(seconds=i), "1", text.format(i), "a", "right") for i in range(count)]


def answers(right: int, count: int) -> list[Answer]:
    return [Answer("right" if i < right else "wrong", {}, {}) for i in range(count)]


@given(st.integers(1, 60), st.integers(0, 80), st.floats(0.05, 0.95))
def test_split_holds_out_only_newest_rows_after_the_onset(count: int, onset: int, share: float) -> None:
    rows, since = rows_of(count), START + timedelta(seconds=onset)
    split = split_in_time(rows, since, share)
    assert [*split.training, *split.validation] == rows
    assert all(row.event_time >= since for row in split.validation)
    after = max(count - onset, 0)
    assert abs(len(split.validation) - after * share) < 1
    assert bool(split.validation) == (after > 0)


def test_comparison_counts_only_texts_that_nobody_was_trained_on() -> None:
    rows = rows_of(2 * MIN_UNSEEN_ROWS)
    trained_on = {row.text for row in rows[:MIN_UNSEEN_ROWS]}
    champion = answers(MIN_UNSEEN_ROWS, len(rows))  # right only where it knows the text
    challenger = answers(MIN_UNSEEN_ROWS + 6, len(rows))
    judged = choose_judged(rows, champion, challenger, trained_on)
    found = compare(judged, 0.0)
    assert list(judged.rows) == rows[MIN_UNSEEN_ROWS:]
    assert (found.champion, found.challenger, found.n, found.unseen, found.passed) == (0.0, 0.2, 30, True, True)


def test_comparison_takes_all_rows_and_says_so_where_too_few_are_unseen() -> None:
    rows = rows_of(MIN_UNSEEN_ROWS + 10)
    trained_on = {row.text for row in rows[:11]}
    found = compare(choose_judged(rows, answers(20, 40), answers(10, 40), trained_on), 0.0)
    assert (found.champion, found.challenger, found.n, found.unseen, found.passed) == (0.5, 0.25, 40, False, False)
    assert "all of them" in found.detail


def test_comparison_lets_a_challenger_be_worse_by_the_margin_at_most() -> None:
    rows = rows_of(100)
    worse = choose_judged(rows, answers(90, 100), answers(85, 100), set())
    assert compare(worse, 0.06).passed
    assert not compare(worse, 0.04).passed
    assert compare(choose_judged(rows, answers(90, 100), answers(90, 100), set()), 0.0).passed
