"""One prediction on its way from the request to its event, and who may look at it. Pure.

Who wants to know of each prediction (a tracer, say) is an :data:`Around`: it is entered before the model is asked and
left when its answer is known, in the thread that asks, and before the event is emitted.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime

from pegel.schemas.model_io import Answer
from pegel.serving.refusal import Refusal
from pegel.serving.requests import PredictAnswer


@dataclass(slots=True)
class Call:
    """One text that a model is asked about.

    Attributes:
        event_id: names the prediction.
        event_time: when it was asked.
        model: the registered model's name.
        version: the version that is asked.
        text: the input.
        segments: what the caller says of it.
        caller: who asks.
        purpose: what for; None if the policy knows no purposes.
        answer: what the model said; None until it did.
        error_type: why there is no answer; None until that is known.
        latency_ms: how long the model took; in a batch, all of it.
        trace_id: of the trace that an :data:`Around` began; goes into the answer and the event.
        outcome: what the caller is told; None until it is settled.
    """

    event_id: str
    event_time: datetime
    model: str
    version: str
    text: str
    segments: Mapping[str, str]
    caller: str
    purpose: str | None = None
    answer: Answer | None = None
    error_type: str | None = None
    latency_ms: float | None = None
    trace_id: str | None = None
    outcome: PredictAnswer | Refusal | None = None
    _settling: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Whether it is yours to settle; True once, since the thread that asks and the time limit may both want to."""
        return self._settling.acquire(blocking=False)


Around = Callable[[Call], AbstractContextManager[object]]
"""Looks at a call from before the model is asked until its answer is known. What it raises is logged and ignored."""
