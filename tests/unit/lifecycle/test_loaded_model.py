from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.errors import OutsideError
from pegel.lifecycle.loaded_model import LONGEST_WAIT_SECONDS, UNSAID_WAIT_SECONDS, LoadedModel
from pegel.schemas.model_io import FailureType

Error = dict[str, Any] | None


def model(errors: Callable[[str, int], Error]) -> tuple[LoadedModel, list[list[str]], list[float]]:
    """A version whose errors follow from the text and the number of rounds before; what was asked; the waits."""
    rounds: list[list[str]] = []
    waits: list[float] = []

    class Known:
        def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
            texts = list(frame["text"])
            said = [errors(text, len(rounds)) for text in texts]
            rounds.append(texts)
            none: list[dict[str, Any]] = [{} for _ in texts]
            outputs = ["" if error else text.upper() for text, error in zip(texts, said, strict=True)]
            return pd.DataFrame({"output": outputs, "probabilities": none, "features": none, "error": said})

    return LoadedModel("1", Known(), waits.append), rounds, waits


def failed(kind: FailureType, seconds: float | None = None) -> Error:
    return {"type": str(kind), "message": "One sentence.", "retry_after_s": seconds}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_limit_that_lets_some_through_each_time_is_waited_out_and_the_order_is_kept(after: list[int]) -> None:
    """Text i is answered in its round; each round up to the last one answers at least one."""
    order = {round_no: i for i, round_no in enumerate(sorted(set(after)))}
    due = {f"t{i}": order[round_no] for i, round_no in enumerate(after)}
    made, rounds, waits = model(lambda text, n: failed(FailureType.RATE_LIMITED, 2.0) if n < due[text] else None)
    assert [answer.output for answer in made.answer(list(due))] == [text.upper() for text in due]
    assert waits == [2.0] * max(due.values())
    assert rounds[1:] == [[text for text in due if due[text] >= n] for n in range(1, max(due.values()) + 1)]


def test_limit_that_lets_nobody_through_is_given_up() -> None:
    made, rounds, waits = model(lambda *_: failed(FailureType.RATE_LIMITED))
    with pytest.raises(OutsideError, match=r"2 of 2 texts: One sentence"):
        made.answer(["a", "b"])
    assert waits == [UNSAID_WAIT_SECONDS] * 3
    assert len(rounds) == 4


def test_long_wait_is_not_waited_for() -> None:
    made, _, waits = model(lambda *_: failed(FailureType.RATE_LIMITED, LONGEST_WAIT_SECONDS + 1))
    with pytest.raises(OutsideError):
        made.answer(["a"])
    assert waits == []


@pytest.mark.parametrize("kind", [FailureType.CONTENT_FILTER, FailureType.BAD_REQUEST])
def test_failure_of_the_text_is_its_answer(kind: FailureType) -> None:
    made, rounds, _ = model(lambda text, _: failed(kind) if text == "b" else None)
    answers = made.answer(["a", "b"])
    assert [answer.output for answer in answers] == ["A", ""]
    assert answers[1].failure is not None
    assert answers[1].failure.type is kind
    assert len(rounds) == 1


@pytest.mark.parametrize(
    "kind",
    [FailureType.TIMEOUT, FailureType.UNAVAILABLE, FailureType.ACCESS_REFUSED, FailureType.WRONG_DEPLOYMENT],
)
def test_failure_of_the_service_is_an_outside_error_at_once(kind: FailureType) -> None:
    made, rounds, _ = model(lambda text, _: failed(kind) if text == "b" else None)
    with pytest.raises(OutsideError, match="1 of 2"):
        made.answer(["a", "b"])
    assert len(rounds) == 1


def test_nothing_is_asked_for_no_texts() -> None:
    made, rounds, _ = model(lambda *_: None)
    assert (made.answer([]), rounds) == ([], [])
