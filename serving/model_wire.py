"""What a model in a process of its own is asked and says, as JSON, since it runs code that is not ours. Pure.

==========  ====================================================================================================
asked       said
==========  ====================================================================================================
``load``    ``ready``, or ``failed``
``texts``   ``answers`` (columns as in :mod:`pegel.schemas.model_io`), or ``failed``
``stream``  any number of ``piece``, the ``answers`` of one text where the model gives a whole one, then ``end``;
            or ``failed``, at any place
==========  ====================================================================================================

``failed`` holds ``type``, the name of what was raised, and ``message``.
"""

import json
from collections.abc import Sequence
from typing import Any

from pegel.schemas.model_io import ERROR, EVENT_FIELDS, FEATURES, OUTPUT, PROBABILITIES, Answer

LOAD, TEXTS, STREAM = "load", "texts", "stream"
READY, ANSWERS, PIECE, END, FAILED = "ready", "answers", "piece", "end", "failed"


def encode(message: dict[str, Any]) -> bytes:
    """A message as bytes; what numpy made becomes Python's.

    Raises:
        TypeError: if it holds something that JSON has no form for.
    """
    return json.dumps(message, separators=(",", ":"), default=_plain).encode()


def decode(body: bytes) -> dict[str, Any]:
    """The message that these bytes hold."""
    message: dict[str, Any] = json.loads(body)
    return message


def columns_of(answers: Sequence[Answer]) -> dict[str, list[Any]]:
    """The columns that :func:`pegel.schemas.model_io.answers_of` reads.

    Example:
        >>> columns_of([Answer("a", {"a": 0.75}, {})])["output"]
        ['a']
    """
    return {
        OUTPUT: [answer.output for answer in answers],
        PROBABILITIES: [answer.probabilities for answer in answers],
        FEATURES: [answer.features for answer in answers],
        EVENT_FIELDS: [answer.event_fields for answer in answers],
        ERROR: [_error(answer) for answer in answers],
    }


def _error(answer: Answer) -> dict[str, Any] | None:
    failure = answer.failure
    if failure is None:
        return None
    return {"type": failure.type.value, "message": failure.message, "retry_after_s": failure.retry_after_s}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    msg = f"a model's answer holds a {type(value).__name__}, which JSON cannot tell"
    raise TypeError(msg)
