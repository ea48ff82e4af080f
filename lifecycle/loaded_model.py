"""A version in memory, as registration and comparison ask it: every text counts, and there is time. Edge."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pegel.errors import OutsideError
from pegel.schemas.model_io import TEXT, Answer, FailureType, answers_of

LONGEST_WAIT_SECONDS = 120.0
"""A service that wants to be left alone for longer has run out of more than a minute's worth."""
UNSAID_WAIT_SECONDS = 10.0
"""So long is waited where the service does not say how long."""
FRUITLESS_ROUNDS = 3
"""After so many rounds in which no text more was answered it is given up."""

_OF_THE_TEXT = (FailureType.CONTENT_FILTER, FailureType.BAD_REQUEST)
"""Failures that another try would repeat: they are the version's answer to that text."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A version that answers.

    Attributes:
        version: its number in the registry.
        model: the pyfunc.
        sleep: waits so many seconds.
    """

    version: str
    model: Any
    sleep: Callable[[float], None] = time.sleep

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Answer every text, in order. A text that the model's service refuses for what it says has a failure.

        A service that takes no more requests for now is waited for, up to :data:`LONGEST_WAIT_SECONDS` at a time, and
        is then asked for the missing answers alone; so a limit of requests a minute makes this slow and not wrong.

        Raises:
            OutsideError: if the service that the model asks was down, busy or closed to it: what a version is worth
                cannot be said while half of its answers are missing.
        """
        answers = self._ask(texts)
        fruitless = 0
        while (busy := _busy(answers)) and fruitless < FRUITLESS_ROUNDS:
            wait = max(_wait(answers[i]) for i in busy)
            if wait > LONGEST_WAIT_SECONDS:
                break
            self.sleep(wait)
            for i, answer in zip(busy, self._ask([texts[i] for i in busy]), strict=True):
                answers[i] = answer
            fruitless = fruitless + 1 if len(_busy(answers)) == len(busy) else 0
        lost = [a.failure for a in answers if a.failure is not None and a.failure.type not in _OF_THE_TEXT]
        if lost:
            msg = (
                f"version {self.version} could not answer {len(lost)} of {len(answers)} texts: {lost[0].message}; "
                "see to the service and start this again"
            )
            raise OutsideError(msg)
        return answers

    def _ask(self, texts: Sequence[str]) -> list[Answer]:
        import pandas as pd  # type: ignore[import-untyped]

        return answers_of(self.model.predict(pd.DataFrame({TEXT: list(texts)}))) if texts else []


def _busy(answers: Sequence[Answer]) -> list[int]:
    return [i for i, a in enumerate(answers) if a.failure is not None and a.failure.type is FailureType.RATE_LIMITED]


def _wait(answer: Answer) -> float:
    said = answer.failure.retry_after_s if answer.failure is not None else None
    return UNSAID_WAIT_SECONDS if said is None else said
