"""What serving asks: a version that answers texts, wherever it runs; and one that runs in this process. Edge."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Protocol

from pegel.schemas.model_io import ANSWER, DELTA, TEXT, Answer, answers_of


class ServedModel(Protocol):
    """One version that answers."""

    @property
    def version(self) -> str:
        """Its number in the registry."""
        ...

    @property
    def shares_turns(self) -> bool:
        """Whether it answers several texts at once for little more than one."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it can answer at all."""
        ...

    def answer(self, text: str) -> Answer:
        """Answer one text."""
        ...

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """Answer several texts at once, in order."""
        ...

    def stream(self, text: str) -> Iterator[str | Answer]:
        """Answer one text piece by piece, the whole answer last; a model that cannot gives one piece."""
        ...


class ModelFailedError(Exception):
    """A model that runs in another process has failed.

    Attributes:
        error_type: the type of what its code raised there; the event's ``error.type``.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def error_type_of(error: Exception) -> str:
    """The type of what a model's code raised, wherever it ran."""
    return error.error_type if isinstance(error, ModelFailedError) else type(error).__name__


@dataclass(frozen=True, slots=True)
class InProcessModel:
    """A version in the memory of this process.

    Attributes:
        version: its number in the registry.
        model: the pyfunc.
    """

    version: str
    model: Any

    shares_turns: ClassVar[bool] = False
    """A turn would last as long as the slowest answer of the service that it asks."""
    is_alive: ClassVar[bool] = True

    def answer(self, text: str) -> Answer:
        """Answer one text."""
        (answer,) = self.answer_all([text])
        return answer

    def answer_all(self, texts: Sequence[str]) -> list[Answer]:
        """Answer several texts at once, in order."""
        return answers_of(self.model.predict(_frame(texts)))

    def stream(self, text: str) -> Iterator[str | Answer]:
        """Answer one text piece by piece, the whole answer last; a model that cannot gives one piece."""
        try:
            pieces: Iterator[Mapping[str, Any]] = iter(self.model.predict_stream(_frame([text])))
            # A model that cannot stream says so no later than when it is asked for the first piece.
            first = next(pieces, None)
        except (_cannot_stream(), NotImplementedError):
            answer = self.answer(text)
            yield from ([answer.output] if answer.output and answer.failure is None else [])
            yield answer
            return
        for piece in chain([] if first is None else [first], pieces):
            if ANSWER in piece:
                yield answers_of({name: [value] for name, value in piece[ANSWER].items()})[0]
            elif piece.get(DELTA):
                yield str(piece[DELTA])


def _frame(texts: Sequence[str]) -> Any:
    import pandas as pd  # type: ignore[import-untyped]

    return pd.DataFrame({TEXT: list(texts)})


def _cannot_stream() -> type[Exception]:
    from mlflow.exceptions import MlflowException

    said: type[Exception] = MlflowException
    return said
