"""Traces of calls at ``/predict``, a sampled view in MLflow; the event stays the record. Edge.

A call that is chosen is recorded in memory and handed to one background thread, which masks it and stores it. The
answer never waits for MLflow, and whatever fails here costs a trace, never an answer. Which calls are chosen, and the
id of a trace, follow from the ``event_id`` alone: a request that is repeated with its id is chosen again and names the
same trace, and feedback finds it without a search.
"""

import hashlib
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.schemas.events import FeedbackEvent
from pegel.serving.call import Call
from pegel.serving.trace_capture import PREFIX, TraceCapture, calling, silence
from pegel.serving.trace_outbox import Outbox, TraceCounts
from pegel.serving.trace_store import TraceFeedback, TraceStore
from pegel.tables.woken_thread import WokenThread

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the thread looks for something to do when nothing wakes it."""
RECONNECT_SECONDS = 5.0
TRACE_ID = "trace_id"
"""The field of a feedback event that names the trace."""


def is_sampled(event_id: str, share: float) -> bool:
    """Whether the call with this id is traced; the same ids in every process, and a larger share keeps them all.

    Args:
        event_id: of the prediction.
        share: of all calls, 0 to 1.

    Example:
        >>> is_sampled("order-7", 1.0), is_sampled("order-7", 0.0)
        (True, False)
    """
    return int.from_bytes(_digest(event_id)[16:24], "big") < share * 2**64


def trace_id_of(model: str, event_id: str) -> str:
    """The id of a call's trace: ``tr-`` and 32 hexadecimal digits."""
    # The event's id was chosen outside; the name of the model keeps two models in one experiment apart.
    return PREFIX + _digest(f"{model}\n{event_id}")[:16].hex()


class Tracing:
    """Looks at every prediction (a :data:`pegel.serving.call.Around`) and traces some.

    Args:
        settings: which share, how many may wait, and which tracking server.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._share = settings.serving.trace_share
        self._store = TraceStore(settings.mlflow)
        self._traces: Outbox[Any] = Outbox(self._write, settings.serving.max_waiting_traces, time.monotonic)
        self._feedback: Outbox[TraceFeedback] = Outbox(
            self._store.attach, settings.serving.max_waiting_traces, time.monotonic
        )
        self._capture: TraceCapture | None = None
        self._integrated = False
        self._said = ""
        self._storing = WokenThread("traces", self._turn, 0.0, last=self._store_what_is_due)

    def start(self) -> None:
        """Connect and store from a thread of its own; without a share to trace there is none."""
        if self._share > 0:
            self._storing.wake()
            self._storing.start()

    def close(self, patience_seconds: float = 5.0) -> None:
        """Store what waits, as far as MLflow takes it in time; the rest is dropped and counted."""
        self._storing.stop(patience_seconds)
        self._traces.give_up()
        self._feedback.give_up()

    def counts(self) -> TraceCounts:
        """What became of the traces until now."""
        return TraceCounts(self._traces.counts(), self._feedback.counts())

    @contextmanager
    def __call__(self, call: Call) -> Iterator[None]:
        """Trace this call, if it is chosen, and say so in ``call.trace_id``; else let nothing of it be traced."""
        chosen = is_sampled(call.event_id, self._share)
        if not chosen or self._capture is None:
            if chosen:
                self._traces.drop()
            with calling(), silence():
                yield
            return
        asked = {"text": call.text, "segments": dict(call.segments)}
        names = {"model": call.model, "version": call.version}
        trace_id = trace_id_of(call.model, call.event_id)
        with self._capture.trace(trace_id, asked, names, call.event_id) as root:
            if root is None:
                self._traces.drop()
                yield
                return
            call.trace_id = trace_id
            try:
                yield
            finally:
                _conclude(root, call)

    def attach(self, event: FeedbackEvent) -> None:
        """Attach a label to the trace of its prediction, in the background.

        Args:
            event: the feedback; its ``trace_id`` says which trace. Without one it is the event's own, if the event is
                sampled.
        """
        trace_id = (event.model_extra or {}).get(TRACE_ID)
        if self._share <= 0 or event.label is None or not (trace_id or is_sampled(event.event_id, self._share)):
            return
        self._feedback.put(
            TraceFeedback(
                trace_id=trace_id or trace_id_of(self._settings.model.name, event.event_id),
                event_id=event.event_id,
                feedback_id=event.feedback_id,
                label=event.label,
                source=event.source,
            )
        )

    def _write(self, trace: Any) -> bool:
        self._store.write(trace)
        return True

    def _put(self, trace: Any) -> None:
        if self._traces.put(trace):
            self._storing.wake()

    def _turn(self) -> float:
        """Do what is due, and give for how many seconds nothing is, unless something comes."""
        if self._capture is None and not self._attempt(self._connect):
            return RECONNECT_SECONDS
        self._attempt(self._integrate)
        self._store_what_is_due()
        return min(LOOK_SECONDS, self._traces.wait_seconds(), self._feedback.wait_seconds())

    def _store_what_is_due(self) -> None:
        if self._capture is None:
            return
        for outbox in (self._traces, self._feedback):
            while not outbox.wait_seconds():
                if not self._attempt(outbox.turn):
                    break

    def _connect(self) -> None:
        experiment_id = self._store.connect()
        self._capture = TraceCapture(experiment_id, self._put)

    def _integrate(self) -> None:
        # Not before the model has loaded its client: the integration would import openai for a model without it.
        if not self._integrated and hasattr(sys.modules.get("openai"), "OpenAI"):
            import mlflow.openai

            mlflow.openai.autolog(silent=True)
            self._integrated = True

    def _attempt(self, step: Any) -> bool:
        try:
            step()
        except Exception as error:  # a view must not end the thread that makes it
            first = str(error) if isinstance(error, OutsideError) else type(error).__name__
            if first != self._said:
                log.warning("a trace is not stored (yet): %s", first)
            self._said = first
            return False
        self._said = ""
        return True


def _conclude(root: Any, call: Call) -> None:
    if call.answer is not None:
        told = {"output": call.answer.output, "probabilities": call.answer.probabilities}
        root.set_outputs(told | {"features": call.answer.features})
    failure = call.answer.failure if call.answer is not None else None
    error = failure.type.value if failure is not None else call.error_type
    if error is not None:
        root.set_attribute("error.type", error)
        root.set_status("ERROR")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
