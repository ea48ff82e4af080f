"""Starting the retraining job for an incident, exactly once and until it has started. Edge.

The job's id comes from the settings alone; from outside comes only the id of an incident that the table ``alerts``
knows.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError

from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.retraining.guards import Hold
from pegel.alerts.webhook.call import WebhookCall
from pegel.alerts.webhook.call_records import Outcome
from pegel.alerts.webhook.intake import HAS_BEGUN, Intake
from pegel.conf.settings import DatabricksSettings
from pegel.errors import OutsideError, PegelError, SettingsError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

_log = logging.getLogger(__name__)

FIRST_ATTEMPT = 1
"""An alert asks for the first retraining of an incident; a further one is a person's decision."""

BACKOFF_CAP_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 30.0
"""So often it is looked whether what holds a retraining back is over."""

_DETAIL_LENGTH = 500


def idempotency_token(incident_id: str, attempt: int) -> str:
    """64 characters, the most that the service takes; with the same token it starts one run only.

    Example:
        >>> len(idempotency_token("0123456789abcdef", 1))
        64
    """
    return hashlib.sha256(f"{incident_id}:{attempt}".encode()).hexdigest()


class DatabricksJobTrigger:
    """Starts the retraining job by ``jobs.run_now``.

    Args:
        settings: the workspace, its token and the job.

    Raises:
        SettingsError: if no job is named.
    """

    def __init__(self, settings: DatabricksSettings) -> None:
        if settings.retrain_job_id <= 0:
            msg = "databricks.retrain_job_id is not set; give the id of the job that runs pegel retrain"
            raise SettingsError(msg)
        self._settings = settings
        self._client: WorkspaceClient | None = None

    def start(self, incident_id: str) -> str:
        """Start the retraining of an incident, or find the run that was started before, and return its id.

        Raises:
            OutsideError: if the job service is away or refuses; the same call may then be made again.
        """
        from databricks.sdk.service.jobs import QueueSettings

        try:
            if self._client is None:
                from pegel.alerts.retraining.workspace import connect

                self._client = connect(self._settings)
            wait = self._client.jobs.run_now(
                self._settings.retrain_job_id,
                idempotency_token=idempotency_token(incident_id, FIRST_ATTEMPT),
                job_parameters={"incident_id": incident_id},
                queue=QueueSettings(enabled=True),
            )
        # DatabricksError is an OSError, as is every error of requests; the SDK's own chain raises ValueError.
        except (OSError, ValueError, TimeoutError, AzureError) as error:
            msg = f"job {self._settings.retrain_job_id} could not be started: {type(error).__name__}: {error}"
            raise OutsideError(msg) from error
        return str(wait.run_id)


class RetrainQueue:
    """Acts on stored calls until each has started its retraining, with capped waits between the tries.

    Args:
        intake: the calls; what comes of them is recorded there, and what was left by a process that died waits there.
        start: starts the retraining of an incident and returns the id of the run.
        backoff: the waits; it is tried as long as the incident asks for it.
        now: the clock.
        held: what holds the retraining of a call back, see
                :class:`pegel.alerts.retraining.past_retrainings.PastRetrainings` and
                :class:`pegel.alerts.retraining.sick_pipeline.SickPipeline`.
    """

    def __init__(
        self,
        intake: Intake,
        start: Callable[[str], str],
        backoff: Backoff,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        held: Callable[[WebhookCall], Hold | None] = lambda _: None,
    ) -> None:
        self._intake = intake
        self._start = start
        self._backoff = backoff
        self._now = now
        self._held = held
        self._tries: dict[str, tuple[int, datetime]] = {}
        self._runs: dict[str, tuple[str, str]] = {}
        """Call -> model and run of what has started and is not on record yet."""
        self.held_back: set[str] = set()
        """The calls that were not tried when they were last due, since something holds their retraining back."""

    def step(self) -> float | None:
        """Try every call that is due; return the seconds until the next one is, None if no call waits."""
        for call in self._intake.waiting:
            tries, due = self._tries.get(call.call_id, (0, self._now()))
            if due <= self._now():
                self._try(call, tries + 1)
        waiting = [self._tries[call.call_id][1] for call in self._intake.waiting if call.call_id in self._tries]
        return max(0.0, (min(waiting) - self._now()).total_seconds()) if waiting else None

    def _try(self, call: WebhookCall, tries: int) -> None:
        try:
            if call.call_id not in self._runs:
                if not self._may_start(call, tries):
                    return
                self._runs[call.call_id] = (call.model, self._start(call.incident_id))
            # What has started is only written down, however often that fails, whatever has changed since.
            run_id = self._runs[call.call_id][1]
            self._intake.record(call, Outcome.STARTED, run_id, "the retraining has started")
            del self._runs[call.call_id]
            _log.info("incident %s: retraining run %s has started", call.incident_id, run_id)
        except Exception as error:  # nothing may end the one thread that starts retrainings
            wait = self._backoff.delay_seconds(tries)
            self._tries[call.call_id] = (tries, self._now() + timedelta(seconds=wait))
            said = str(error) if isinstance(error, PegelError) else f"{type(error).__name__}: {error}"
            _log.warning("incident %s: try %d failed, next in %.0f s: %s", call.incident_id, tries, wait, said)
            # The first try, then ever more seldom, so that a day of refusals does not fill the table.
            if tries & (tries - 1) == 0:
                self._record_failure(call, said[:_DETAIL_LENGTH])

    def _may_start(self, call: WebhookCall, tries: int) -> bool:
        self.held_back.discard(call.call_id)
        reason = self._intake.why_not(call)
        if reason is not None:
            self._intake.record(call, Outcome.IGNORED, None, reason)
            return False
        if self._intake.has_begun(call):
            self._intake.record(call, Outcome.DUPLICATE, None, HAS_BEGUN)
            return False
        soon = self._now() + timedelta(seconds=LOOK_AGAIN_SECONDS)
        unrecorded = call.model in {model for model, _ in self._runs.values()}
        hold = Hold("another one has started and is not on record yet", soon) if unrecorded else self._held(call)
        if hold is None:
            return True
        self._tries[call.call_id] = (tries - 1, min(hold.until, soon))
        self.held_back.add(call.call_id)
        self._intake.record(call, Outcome.STORED, None, f"it waits: {hold.reason}")
        return False

    def _record_failure(self, call: WebhookCall, detail: str) -> None:
        try:
            self._intake.record(call, Outcome.FAILED, None, detail)
        except (PegelError, OSError) as error:
            _log.warning("incident %s: the failure could not be recorded: %s", call.incident_id, error)


class RetrainWorker:
    """A thread that takes its steps in turn, when a call comes in or a wait is over."""

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """A call was stored."""
        self._wake.set()

    def start(self, *steps: Callable[[], float | None]) -> None:
        """Begin with what was left before.

        Args:
            steps: each returns the seconds until it has to be taken again at the latest; None waits for a call.
        """
        self._thread = threading.Thread(target=self._run, args=(steps,), name="retrain-trigger", daemon=True)
        self._thread.start()

    def stop(self, patience_seconds: float = 5.0) -> None:
        """End after the try that runs; what waits is taken up at the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience_seconds)

    def _run(self, steps: Sequence[Callable[[], float | None]]) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            waits = [step() for step in steps]
            self._wake.wait(min((wait for wait in waits if wait is not None), default=None))
