"""Write traces and their feedback to MLflow. Edge.

Everything here may be done twice and is stored once: a trace and its spans have their ids from the call, and a feedback
that is there is found by its id.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pegel.conf.settings import MlflowSettings
from pegel.errors import OutsideError
from pegel.serving.trace_masking import LEFT_OUT_METADATA, masked_text, masked_trace

REQUEST_TIMEOUT_SECONDS = 10
REQUEST_RETRIES = 1

LABEL = "label"
"""The name of the feedback that holds the true class."""
FEEDBACK_ID = "pegel.feedback_id"

_MAX_NAME_CHARACTERS = 200
_NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


@dataclass(frozen=True, slots=True)
class TraceFeedback:
    """What became known about a call that may have been traced.

    Attributes:
        trace_id: of the trace.
        event_id: of the prediction; the trace must be of this one.
        feedback_id: a trace takes each only once.
        label: the true class.
        source: who says so.
    """

    trace_id: str
    event_id: str
    feedback_id: str
    label: str
    source: str | None = None


class TraceStore:
    """One experiment of the tracking server.

    Args:
        settings: which server and experiment.
    """

    def __init__(self, settings: MlflowSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._experiment_id = ""

    def connect(self) -> str:
        """Find the experiment; the registration of a model makes it.

        Returns:
            its id.

        Raises:
            OutsideError: if it is not there, or the server is down.
        """
        settings = self._settings
        os.environ.update(settings.client_environment(REQUEST_TIMEOUT_SECONDS, REQUEST_RETRIES))
        import mlflow
        from mlflow.tracing.client import TracingClient

        with _asking(f"the experiment {settings.experiment!r}"):
            mlflow.set_tracking_uri(settings.tracking_uri)
            found = mlflow.MlflowClient(tracking_uri=settings.tracking_uri).get_experiment_by_name(settings.experiment)
        if found is None:
            msg = f"MLflow has no experiment {settings.experiment!r} for traces yet; register a model, which makes it"
            raise OutsideError(msg)
        self._client = TracingClient(settings.tracking_uri)
        self._experiment_id = str(found.experiment_id)
        return self._experiment_id

    def write(self, trace: Any) -> None:
        """Mask a finished trace and store it.

        Args:
            trace: ``mlflow.entities.Trace``.

        Raises:
            OutsideError: if MLflow does not take it; try again.
        """
        from mlflow.entities import Trace

        # They are raw and made again from what is masked; half a surrogate pair in one could not even be written.
        trace.info.request_preview = trace.info.response_preview = None
        for name in LEFT_OUT_METADATA:
            trace.info.trace_metadata.pop(name, None)
        self.write_masked(Trace.from_dict(masked_trace(trace.to_dict())))

    def write_masked(self, trace: Any) -> None:
        """Store a trace that is masked already; see :meth:`write`."""
        from mlflow.tracing.constant import SpansLocation, TraceTagKey

        with _asking("a trace"):
            self._log_spans(trace)
            stored = self._client.start_trace(trace.info)
            if stored.tags.get(TraceTagKey.SPANS_LOCATION) != SpansLocation.TRACKING_STORE.value:
                # Databricks, and servers that keep spans as artefacts: MLflow has no public call for it.
                self._client._upload_trace_data(stored, trace.data)  # noqa: SLF001

    def attach(self, feedback: TraceFeedback) -> bool:
        """Attach feedback to its trace, once.

        Returns:
            whether it is attached; False if the trace is not there, or is one of another call or experiment: whoever
            sends feedback may name any trace of the server.

        Raises:
            OutsideError: if MLflow fails; try again.
        """
        import mlflow
        from mlflow.entities import AssessmentSource
        from mlflow.exceptions import MlflowException

        with _asking("the feedback of a trace"):
            try:
                info = self._client.get_trace_info(feedback.trace_id)
            except MlflowException as error:
                if error.error_code in _NOT_FOUND:
                    return False
                raise
            if info.client_request_id != masked_text(feedback.event_id) or info.experiment_id != self._experiment_id:
                return False
            known = masked_text(feedback.feedback_id)
            if all((found.metadata or {}).get(FEEDBACK_ID) != known for found in info.assessments):
                mlflow.log_feedback(
                    trace_id=feedback.trace_id,
                    name=LABEL,
                    value=masked_text(feedback.label),
                    source=AssessmentSource("HUMAN", masked_text(feedback.source or "feedback", _MAX_NAME_CHARACTERS)),
                    metadata={FEEDBACK_ID: known},
                )
            return True

    def _log_spans(self, trace: Any) -> None:
        if self._settings.tracking_uri.startswith("databricks"):
            return
        try:
            self._client.log_spans(self._experiment_id, trace.data.spans)
        except NotImplementedError:
            # An older server keeps spans as artefacts; they go there next.
            return


@contextmanager
def _asking(what: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        msg = f"MLflow failed at {what}: {first}; check mlflow.tracking_uri and that the server is up"
        raise OutsideError(msg) from error
