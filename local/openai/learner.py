"""The model behind the local deployments: it classifies by the examples that it finds in its prompt. Pure.

It reads examples in two forms: lines that are JSON objects with ``text`` and ``label``, in any message but the last,
and pairs of a user's and an assistant's message. Its answer is the label of the nearest examples by tf-idf of words and
word pairs. So a better prompt gives better answers, and a label without an example is never given.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

SHARPNESS = 12.0
"""Of the softmax over the labels' similarities: 0.3 more is 36 times as likely. Convention, not derived."""
NEAREST = 2
"""A label is as near as so many of its nearest examples are on average."""
CLUELESS = "I cannot tell."

Message = tuple[str, str]
"""Role and content."""
Example = tuple[str, str]
"""Text and label."""

_PIECE = re.compile(r"\w{1,4}|\W", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Guess:
    """An answer and how sure the model is of it, above 0 and at most 1."""

    text: str
    probability: float


def examples_in(messages: Sequence[Message]) -> list[Example]:
    r"""The labelled examples in all messages but the last.

    Example:
        >>> examples_in([("system", 'Classify.\n{"text": "play it", "label": "music"}'), ("user", "play")])
        [('play it', 'music')]
        >>> examples_in([("user", "play it"), ("assistant", "music"), ("user", "play")])
        [('play it', 'music')]
    """
    found: list[Example] = []
    previous: Message | None = None
    for role, content in messages[:-1]:
        if role == "assistant" and previous is not None and previous[0] == "user":
            found.append((previous[1], content))
        found += _lines(content)
        previous = (role, content)
    return found


def guess(messages: Sequence[Message], known: Sequence[Example] = ()) -> Guess:
    """Answer the last message.

    Args:
        messages: at least one.
        known: what the deployment was fine-tuned on.
    """
    examples = (*known, *examples_in(messages))
    if not examples:
        return Guess(CLUELESS, 1.0)
    return _memory(examples).guess(messages[-1][1])


def pieces(text: str) -> list[str]:
    """Cut a text into what this model calls tokens: up to four letters or digits, or one other character.

    Example:
        >>> pieces("book_flight")
        ['book', '_fli', 'ght']
    """
    return _PIECE.findall(text)


@lru_cache(maxsize=1024)
def count_tokens(text: str) -> int:
    """How many tokens a text has; long prompts are counted once."""
    return len(pieces(text))


class _Memory:
    """The examples of one prompt, ready to be compared with."""

    def __init__(self, examples: Sequence[Example]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._labels = sorted({label for _, label in examples})
        self._of = np.array([self._labels.index(label) for _, label in examples])
        self._vectorizer: Any = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
        try:
            self._rows = self._vectorizer.fit_transform([text for text, _ in examples])
        except ValueError:  # no example has a word
            self._rows = None

    def guess(self, text: str) -> Guess:
        nearness = np.zeros(len(self._labels))
        if self._rows is not None:
            similar = (self._rows @ self._vectorizer.transform([text]).T).toarray().ravel()
            for label in np.unique(self._of[similar > 0]):
                best = np.sort(similar[self._of == label])[-NEAREST:]
                nearness[label] = best.sum() / NEAREST
        weights = np.exp(SHARPNESS * (nearness - nearness.max()))
        chosen = int(np.argmax(weights))
        return Guess(self._labels[chosen], float(weights[chosen] / weights.sum()))


@lru_cache(maxsize=16)
def _memory(examples: tuple[Example, ...]) -> _Memory:
    return _Memory(examples)


@lru_cache(maxsize=64)
def _lines(content: str) -> tuple[Example, ...]:
    found = []
    for line in content.splitlines():
        if line.startswith("{"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("text"), str) and isinstance(row.get("label"), str):
                found.append((row["text"], row["label"]))
    return tuple(found)
