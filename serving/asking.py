"""Asking a model: about one text, several at once, or piece by piece. Edge: runs a model's own code."""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from pegel.schemas.model_io import Answer
from pegel.serving.call import Around, Call
from pegel.serving.served_model import ServedModel, error_type_of

_log = logging.getLogger(__name__)


def ask(model: ServedModel, calls: Sequence[Call], arounds: Sequence[Around]) -> None:
    """Ask about all calls at once, and about each by itself if that fails; fills in what became of them."""
    with _looked_at(calls, arounds):
        begin = time.perf_counter()
        try:
            answers = model.answer_all([call.text for call in calls])
            if len(answers) != len(calls):
                msg = f"{len(calls)} texts, but {len(answers)} answers"
                raise ValueError(msg)
        except Exception as error:  # a model's code may raise anything; the monitor must see it
            if len(calls) > 1:
                for call in calls:
                    _ask_one(model, call)
                return
            _fail(calls[0], error, begin)
            return
        taken = _since(begin)
        for call, answer in zip(calls, answers, strict=True):
            _fill(call, answer, taken)


def ask_in_pieces(model: ServedModel, call: Call, arounds: Sequence[Around]) -> Generator[str, None, None]:
    """Ask about one call and give the pieces of its answer as they come; fills in what became of it.

    If it is closed early, the model is not asked for more, and the answer is what had come until then.
    """
    with _looked_at([call], arounds):
        begin, said = time.perf_counter(), []
        try:
            for piece in model.stream(call.text):
                if isinstance(piece, Answer):
                    _fill(call, piece, _since(begin))
                else:
                    said.append(piece)
                    yield piece
            if call.answer is None:
                _fill(call, Answer("".join(said), {}, {}), _since(begin))
        except GeneratorExit:
            _fill(call, Answer("".join(said), {}, {}), _since(begin))
            raise
        except Exception as error:  # a model's code may raise anything; the monitor must see it
            _fail(call, error, begin)


def _ask_one(model: ServedModel, call: Call) -> None:
    begin = time.perf_counter()
    try:
        _fill(call, model.answer(call.text), _since(begin))
    except Exception as error:  # the others keep their answers
        _fail(call, error, begin)


def _fill(call: Call, answer: Answer, latency_ms: float) -> None:
    call.answer, call.latency_ms = answer, latency_ms
    call.error_type = answer.failure.type.value if answer.failure else None


def _fail(call: Call, error: Exception, begin: float) -> None:
    call.error_type, call.latency_ms = error_type_of(error), _since(begin)
    _log.error("version %s failed at the event %s", call.version, call.event_id, exc_info=error)


@contextmanager
def _looked_at(calls: Sequence[Call], arounds: Sequence[Around]) -> Iterator[None]:
    entered = []
    for call in calls if arounds else ():
        for around in arounds:
            try:
                context = around(call)
                context.__enter__()
                entered.append(context)
            except Exception:
                _log.exception("who looks at the prediction %s failed; it is made all the same", call.event_id)
    try:
        yield
    finally:
        for context in reversed(entered):
            try:
                context.__exit__(None, None, None)
            except Exception:
                _log.exception("who looks at a prediction failed; it is answered all the same")


def _since(begin: float) -> float:
    return round((time.perf_counter() - begin) * 1000.0, 3)
