"""The spans of one call, recorded in memory and handed over when its root has ended; MLflow stores none itself. Edge.

MLflow's own exporter would send each span as it ends, unmasked, from a queue that nobody can bound in time. So MLflow's
tracer is given an exporter that hands the whole trace over, and ids that follow from the call. What a model's code
records outside of a call that is traced (when it is loaded, or on threads of its own) is thrown away.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

PREFIX = "tr-"
"""What MLflow puts before the 32 hexadecimal digits of OpenTelemetry's trace id."""

_under_way: ContextVar[bool] = ContextVar("pegel_call_under_way", default=False)
_chosen: ContextVar[int | None] = ContextVar("pegel_trace_number", default=None)


class _TraceIds(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        return _chosen.get() or super().generate_trace_id()


class _RecordOnly(Sampler):
    """Spans are recorded here and marked as not sampled, so that no other tracer records what lies below them.

    A model's code that calls ``mlflow.set_experiment`` in the middle of a call gets MLflow's own tracer back, which
    would send its spans unmasked; but it drops what has a parent that is not sampled.
    """

    def should_sample(  # noqa: PLR0917 (OpenTelemetry's signature)
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        del parent_context, trace_id, name, kind, links
        return SamplingResult(Decision.RECORD_ONLY, attributes, trace_state)

    def get_description(self) -> str:
        return "PegelRecordOnly"


def _processor(exporter: SpanExporter) -> SpanProcessor:
    from mlflow.tracing.processor.mlflow_v3 import MlflowV3SpanProcessor

    class Processor(MlflowV3SpanProcessor):  # type: ignore[misc]
        def on_end(self, span: ReadableSpan) -> None:
            # It completes the trace, but exports sampled spans only.
            super().on_end(span)
            exporter.export([span])

    processor: SpanProcessor = Processor(span_exporter=exporter, export_metrics=False)
    return processor


class TraceCapture(SpanExporter):
    """MLflow's tracer in this process, with a destination of our own.

    Args:
        experiment_id: where the traces belong.
        sink: takes a finished trace, ``mlflow.entities.Trace``, in the thread whose call it was; it must not wait.
    """

    def __init__(self, experiment_id: str, sink: Callable[[Any], None]) -> None:
        self._experiment_id = experiment_id
        self._sink = sink
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._tracers = TracerProvider(sampler=_RecordOnly(), id_generator=_TraceIds())
        self._tracers.add_span_processor(_processor(self))
        # What MLflow loads for its first span takes half a second, which no call shall wait for. It is thrown away.
        self._begin(f"{PREFIX}{1:032x}", None, {}, "").end()

    def install(self) -> None:
        """Be what MLflow records with; ``mlflow.set_experiment`` in a model's code would have put its own back."""
        from mlflow.tracing.provider import provider

        if provider.get() is not self._tracers:
            # Without this its first span would make its own tracer.
            provider.once.do_once(lambda: None)
            provider.set(self._tracers)

    @contextmanager
    def trace(self, trace_id: str, inputs: Any, attributes: dict[str, Any], request_id: str) -> Iterator[Any]:
        """Record one call; spans that the model's code begins in this thread meanwhile lie below the root.

        When a call begins while another one of the same thread is under way (a batch), nobody can tell whose the spans
        of the model are, so from then on only roots are recorded.

        Args:
            trace_id: ``tr-`` and 32 hexadecimal digits.
            inputs: what the model is asked.
            attributes: of the root.
            request_id: the client's name for the call.

        Yields:
            the root, ``mlflow.entities.LiveSpan``; None if nothing is recorded: MLflow cannot, or the same trace is
            under way already.
        """
        from mlflow.tracing.provider import safe_set_span_in_context

        if not self._opened(trace_id):
            with silence():
                yield None
            return
        try:
            root = self._begin(trace_id, inputs, attributes, request_id)
            try:
                with calling() as alone, safe_set_span_in_context(root) if alone else silence():
                    yield root if root.trace_id == trace_id else None
            finally:
                root.end()
        finally:
            with self._lock:
                self._open.discard(trace_id)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand over the traces whose roots these are."""
        from mlflow.tracing.trace_manager import InMemoryTraceManager

        for span in spans:
            if span.parent is None and span.context is not None:
                found = InMemoryTraceManager.get_instance().pop_trace(span.context.trace_id)
                with self._lock:
                    ours = found is not None and found.trace.info.trace_id in self._open
                if ours:
                    self._sink(found.trace)
        return SpanExportResult.SUCCESS

    def _begin(self, trace_id: str, inputs: Any, attributes: dict[str, Any], request_id: str) -> Any:
        import mlflow
        from mlflow.tracing.provider import mlflow_runtime_context
        from mlflow.tracing.trace_manager import InMemoryTraceManager

        self.install()
        number = _chosen.set(int(trace_id.removeprefix(PREFIX), 16))
        # A root even if another call of a batch is the active span, or is not traced.
        outside = mlflow_runtime_context.attach(Context())
        try:
            with mlflow.tracing.context(enabled=True):
                root = mlflow.start_span_no_context(
                    "predict",
                    span_type="CHAIN",
                    inputs=inputs,
                    attributes=attributes,
                    experiment_id=self._experiment_id,
                )
        finally:
            mlflow_runtime_context.detach(outside)
            _chosen.reset(number)
        with InMemoryTraceManager.get_instance().get_trace(trace_id) as known:
            if known is not None:
                known.info.client_request_id = request_id
        return root

    def _opened(self, trace_id: str) -> bool:
        with self._lock:
            if trace_id in self._open:
                return False
            self._open.add(trace_id)
            return True


@contextmanager
def calling() -> Iterator[bool]:
    """Whether this is the only call of this thread that is under way."""
    alone = not _under_way.get()
    token = _under_way.set(True)
    try:
        yield alone
    finally:
        _under_way.reset(token)


def silence() -> AbstractContextManager[None]:
    """Record nothing, whatever the model's code turns on; free while MLflow is not loaded."""
    tracing = sys.modules.get("mlflow.tracing")
    return tracing.context(enabled=False) if tracing is not None and hasattr(tracing, "context") else nullcontext()
