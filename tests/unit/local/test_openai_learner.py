import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.local.openai.content_filter import annotate, is_filtered
from pegel.local.openai.learner import CLUELESS, Guess, examples_in, guess, pieces
from pegel.local.openai.rate_limit import RateLimit

WORDS = st.sampled_from(("play", "song", "wake", "timer", "lights", "door", "a", "the"))
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
EXAMPLES = st.lists(st.tuples(TEXTS, st.sampled_from(("music", "alarm", "home"))), min_size=1, max_size=12)


def asked(text: str, examples: list[tuple[str, str]]) -> Guess:
    return guess([("user", text)], examples)


@given(EXAMPLES, st.text())
def test_answer_is_one_of_the_labels_that_have_an_example(examples: list[tuple[str, str]], text: str) -> None:
    found = asked(text, examples)
    assert found.text in {label for _, label in examples}
    assert 0 < found.probability <= 1


@given(EXAMPLES, TEXTS)
def test_answer_is_the_same_each_time(examples: list[tuple[str, str]], text: str) -> None:
    assert asked(text, examples) == asked(text, list(examples))


def test_answer_of_a_prompt_without_examples_is_none_of_the_labels() -> None:
    assert guess([("system", "Labels: music, alarm"), ("user", "play a song")]).text == CLUELESS


def test_text_that_shares_no_word_with_the_examples_is_answered_without_confidence() -> None:
    examples = [("play a song", "music"), ("wake me", "alarm"), ("dim lights", "home"), ("a flight", "travel")]
    assert asked("zebra", examples).probability == pytest.approx(0.25)
    assert asked("play a song", examples).probability > 0.9


def test_examples_are_read_from_lines_of_json_and_from_pairs_of_messages_and_nowhere_else() -> None:
    messages = [
        ("system", 'x\n{"text": "a", "label": "b"}\n{"text": 1, "label": "c"}\n{"text": "d"}\n{broken'),
        ("assistant", "no question came before"),
        ("user", "play"),
        ("assistant", "music"),
        ("user", '{"text": "what is asked", "label": "is no example"}'),
    ]
    assert examples_in(messages) == [("a", "b"), ("play", "music")]


@given(st.text())
def test_tokens_put_together_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "category", "filtered"),
    [("a Slaughter!", "violence", True), ("a brawl", "violence", False), ("suicide", "self_harm", True)],
)
def test_filter_refuses_from_medium(text: str, category: str, filtered: bool) -> None:
    results = annotate(text, prompt=True)
    assert results[category]["filtered"] is filtered
    assert is_filtered(results) is filtered
    assert not is_filtered(annotate("a quiet song", prompt=True))


@given(st.integers(1, 600), st.lists(st.floats(0, 5), max_size=60))
def test_rate_limit_lets_no_more_through_than_the_bucket_and_the_time(per_minute: int, waits: list[float]) -> None:
    seconds = [0.0]
    limit = RateLimit(per_minute, lambda: seconds[0])
    taken = 0
    for wait in waits:
        seconds[0] += wait
        hint = limit.take()
        taken += hint is None
        if hint is not None:
            assert 0 < hint <= 60.0 / per_minute
    assert taken <= per_minute + seconds[0] * per_minute / 60.0 + 1e-6
