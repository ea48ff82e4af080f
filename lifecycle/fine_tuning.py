"""Fine-tuning by Azure OpenAI: training file, job, and the walk of its states. Edge.

Every step finds what an earlier try has done: the file by its name, which is its content's hash, and the job by the
file that it is trained on. So a run that was cut off waits for the job that it has paid for already.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pegel.conf.openai_settings import FineTuningSettings
from pegel.errors import OutsideError, PegelError, SettingsError
from pegel.lifecycle.labelled_text import LabelledText

log = logging.getLogger(__name__)

MIN_EXAMPLES = 10
"""With fewer the service refuses the file."""
BOM = b"\xef\xbb\xbf"

PROCESSED = "processed"
SUCCEEDED = "succeeded"
LOST = frozenset({"failed", "cancelled"})


class FineTuningFailedError(PegelError):
    """The service took the job and did not carry it to its end; the message says what it says."""


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A model that a job has made: its name at the service, and the job."""

    model: str
    job_id: str


def training_file(rows: Sequence[LabelledText], system: str) -> bytes:
    r"""The rows in chat format: JSON Lines in UTF-8 with a byte order mark, as the service asks for.

    Args:
        rows: blank texts and labels are left out.
        system: the system message of each example, the same that the deployment is asked with later.

    Raises:
        SettingsError: if fewer than :data:`MIN_EXAMPLES` rows are left.

    Example:
        >>> content = training_file([LabelledText("play it", "music")] * 10, "Classify.")
        >>> content[:3] == BOM, content.count(b"\n")
        (True, 10)
    """
    lines = [_line(row, system) for row in rows if row.text.strip() and row.label.strip()]
    if len(lines) < MIN_EXAMPLES:
        msg = f"fine-tuning needs at least {MIN_EXAMPLES} labelled texts, and there are {len(lines)}; give more rows"
        raise SettingsError(msg)
    return BOM + "".join(lines).encode("utf-8", "replace")


class FineTuning:
    """Trains by ``files`` and ``fine_tuning.jobs``.

    Args:
        client: an ``openai.OpenAI``.
        settings: base model, and how long to wait.
        clock: seconds, to measure the patience with.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        client: Any,
        settings: FineTuningSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._sleep = sleep

    def train(self, content: bytes, name: str, suffix: str) -> FineTuned:
        """Upload, train, and wait for the end.

        Args:
            content: see :func:`training_file`.
            name: of the file; the same content has the same name.
            suffix: of the model's name, without dots.

        Raises:
            FineTuningFailedError: if the service refuses the file, or the job fails or is cancelled.
            OutsideError: if the service is down, or has not finished in time; run it again, and the same job is
                waited for.
        """
        deadline = self._clock() + self._settings.timeout_seconds
        with _asking():
            file_id = self._file(content, name, deadline)
            job = self._started(file_id) or self._start(file_id, suffix)
            return self._follow(job, deadline)

    def _file(self, content: bytes, name: str, deadline: float) -> str:
        known = [file for file in self._client.files.list() if file.filename == name]
        file = known[0] if known else self._client.files.create(file=(name, content), purpose="fine-tune")
        while file.status != PROCESSED:
            if file.status == "error":
                reason = getattr(file, "status_details", None) or "it gives no reason"
                msg = f"the service refuses the training file {name}: {reason}"
                raise FineTuningFailedError(msg)
            self._wait(deadline, f"the training file {name} is {file.status}")
            file = self._client.files.retrieve(file.id)
        return str(file.id)

    def _started(self, file_id: str) -> Any:
        """The newest job that trains, or has trained, the base model on this file."""
        for job in self._client.fine_tuning.jobs.list():
            same = (job.training_file, job.model) == (file_id, self._settings.base_model)
            if same and job.status not in LOST:
                return job
        return None

    def _start(self, file_id: str, suffix: str) -> Any:
        epochs = {} if self._settings.epochs is None else {"n_epochs": self._settings.epochs}
        return self._client.fine_tuning.jobs.create(
            model=self._settings.base_model,
            training_file=file_id,
            suffix=suffix,
            method={"type": "supervised", "supervised": {"hyperparameters": epochs}},
            extra_body={"trainingType": self._settings.training_type},
        )

    def _follow(self, job: Any, deadline: float) -> FineTuned:
        said = ""
        while job.status != SUCCEEDED:
            if job.status in LOST:
                reason = getattr(job.error, "message", None) or "it gives no reason"
                msg = f"the fine-tuning job {job.id} is {job.status}: {reason}"
                raise FineTuningFailedError(msg)
            if job.status != said:
                said = job.status
                log.info("the fine-tuning job %s is %s", job.id, said)
            # A state that is not known here, such as Azure's pauses, is one to wait through.
            self._wait(deadline, f"the fine-tuning job {job.id} is {job.status}")
            job = self._client.fine_tuning.jobs.retrieve(job.id)
        if not job.fine_tuned_model:
            msg = f"the fine-tuning job {job.id} has succeeded and names no model; look at it in the portal"
            raise FineTuningFailedError(msg)
        return FineTuned(str(job.fine_tuned_model), str(job.id))

    def _wait(self, deadline: float, what: str) -> None:
        if self._clock() >= deadline:
            msg = (
                f"{what} and was not done within {self._settings.timeout_seconds:.0f} s "
                "(openai.fine_tuning.timeout_seconds); run this again to go on waiting"
            )
            raise OutsideError(msg)
        self._sleep(self._settings.poll_seconds)


def _line(row: LabelledText, system: str) -> str:
    messages = [("system", system), ("user", row.text), ("assistant", row.label)]
    example = {"messages": [{"role": role, "content": content} for role, content in messages]}
    return json.dumps(example, ensure_ascii=False) + "\n"


@contextmanager
def _asking() -> Iterator[None]:
    """Say what the SDK raises in one sentence, and tell a refusal from an outage."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        said = error.body.get("message") if isinstance(error.body, dict) else None
        msg = f"the fine-tuning service answers {error.status_code}: {said or type(error).__name__}"
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            raise FineTuningFailedError(msg) from error
        raise OutsideError(f"{msg}; see to it and run this again") from error
    except openai.OpenAIError as error:
        msg = f"the fine-tuning service cannot be asked: {type(error).__name__}; check openai.base_url and the network"
        raise OutsideError(msg) from error
