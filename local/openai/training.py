"""Files and fine-tuning jobs: each look at one moves it a step further. Pure but for its own memory."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pegel.local.openai.faults import ApiError, invalid, not_found
from pegel.local.openai.learner import Example

MAX_FILE_BYTES = 512_000_000
MIN_EXAMPLES = 10
BOM = b"\xef\xbb\xbf"

WALK = ("validating_files", "queued", "running", "running", "succeeded")
"""The states of a job, one for each look."""
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Hyperparameters(_Part):
    n_epochs: int | str | None = None
    batch_size: int | str | None = None
    learning_rate_multiplier: float | str | None = None


class _Supervised(_Part):
    hyperparameters: _Hyperparameters = _Hyperparameters()


class _Method(_Part):
    type: str = Field(pattern="^supervised$")
    supervised: _Supervised = _Supervised()


class _JobRequest(_Part):
    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = Field(default=None, pattern=r"^[^.]{1,64}$")
    seed: int | None = None
    method: _Method | None = None
    trainingType: str | None = Field(default=None, pattern="^(Standard|GlobalStandard|developerTier)$")  # noqa: N815


@dataclass(slots=True)
class _File:
    id: str
    filename: str
    content: bytes
    created_at: int
    looks: int = 0


@dataclass(slots=True)
class _Job:
    id: str
    request: _JobRequest
    walk: tuple[str, ...]
    created_at: int
    step: int = -1
    status: str = "pending"


@dataclass(slots=True)
class Training:
    """What the resource remembers of files and jobs.

    Attributes:
        base_models: what can be fine-tuned here.
        walks: the walks of the next jobs, for tests; without one a job takes :data:`WALK`.
        learned: fine-tuned model -> its examples.
    """

    base_models: Sequence[str]
    walks: list[tuple[str, ...]] = field(default_factory=list)
    learned: dict[str, tuple[Example, ...]] = field(default_factory=dict)
    _files: dict[str, _File] = field(default_factory=dict)
    _jobs: dict[str, _Job] = field(default_factory=dict)

    def upload(self, filename: str, purpose: str, content: bytes) -> dict[str, Any]:
        """Take a file.

        Raises:
            ApiError: 400, if the purpose is not fine-tuning or the file is empty or too large.
        """
        if purpose != "fine-tune":
            raise invalid(f"Invalid value for 'purpose': {purpose!r}", "purpose", "invalid_value")
        if not 0 < len(content) <= MAX_FILE_BYTES:
            raise invalid(f"The file must have 1 to {MAX_FILE_BYTES} bytes, and it has {len(content)}.", "file")
        digest = hashlib.sha256(content).hexdigest()[:12]
        file = _File(f"file-{len(self._files) + 1}-{digest}", filename, content, int(time.time()))
        self._files[file.id] = file
        return _file_body(file)

    def file(self, file_id: str) -> dict[str, Any]:
        """Look at a file: pending at first, then processed, or error with the reason."""
        file = self._file(file_id)
        file.looks += 1
        return _file_body(file)

    def files(self) -> dict[str, Any]:
        """All files."""
        return {"object": "list", "data": [_file_body(file) for file in self._files.values()], "has_more": False}

    def create_job(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Start a job.

        Raises:
            ApiError: 400, if a parameter is unknown, the model cannot be fine-tuned, or a file is not processed.
        """
        try:
            request = _JobRequest.model_validate(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise invalid(f"{first['msg']}: {'.'.join(map(str, first['loc']))}", str(first["loc"][0])) from error
        if request.model not in self.base_models:
            raise invalid(f"The specified base model {request.model!r} does not support fine-tuning.", "model")
        for file_id in filter(None, (request.training_file, request.validation_file)):
            if _file_body(self._file(file_id))["status"] != "processed":
                raise invalid(f"The file {file_id} is not processed.", "training_file", "fileNotReady")
        walk = self.walks.pop(0) if self.walks else WALK
        job = _Job(f"ftjob-{len(self._jobs) + 1}", request, walk, int(time.time()))
        self._jobs[job.id] = job
        return self._job_body(job)

    def job(self, job_id: str) -> dict[str, Any]:
        """Look at a job, which moves it one step along its walk."""
        job = self._job(job_id)
        if job.status not in ENDED and job.step + 1 < len(job.walk):
            job.step += 1
            job.status = job.walk[job.step]
            if job.status == "succeeded":
                file = self._files[job.request.training_file]
                self.learned[_model_of(job)] = _read(file.content)
        return self._job_body(job)

    def jobs(self) -> dict[str, Any]:
        """All jobs, newest first."""
        data = [self._job_body(job) for job in reversed(self._jobs.values())]
        return {"object": "list", "data": data, "has_more": False}

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job that has not ended.

        Raises:
            ApiError: 400, if it has.
        """
        job = self._job(job_id)
        if job.status in ENDED:
            raise invalid(f"The job {job_id} has already {job.status}.", code="invalid_state")
        job.status = "cancelled"
        return self._job_body(job)

    def _file(self, file_id: str) -> _File:
        if file_id not in self._files:
            raise not_found(f"The file {file_id}")
        return self._files[file_id]

    def _job(self, job_id: str) -> _Job:
        if job_id not in self._jobs:
            raise not_found(f"The job {job_id}")
        return self._jobs[job_id]

    def _job_body(self, job: _Job) -> dict[str, Any]:
        ok = job.status == "succeeded"
        failed = {"code": "trainingFailed", "message": "The training did not converge.", "param": None}
        return {
            "id": job.id,
            "object": "fine_tuning.job",
            "created_at": job.created_at,
            "finished_at": job.created_at if job.status in ENDED else None,
            "model": job.request.model,
            "fine_tuned_model": _model_of(job) if ok else None,
            "training_file": job.request.training_file,
            "validation_file": job.request.validation_file,
            "status": job.status,
            "error": failed if job.status == "failed" else None,
            "organization_id": "",
            "result_files": [],
            "seed": job.request.seed or 0,
            "trained_tokens": len(self._files[job.request.training_file].content) // 4 if ok else None,
            "hyperparameters": {"n_epochs": "auto"},
        }


def _file_body(file: _File) -> dict[str, Any]:
    body = {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": "fine-tune",
        "status": "pending",
    }
    if file.looks >= 2:
        try:
            _read(file.content)
            body["status"] = "processed"
        except ApiError as error:
            body |= {"status": "error", "status_details": error.body["message"]}
    return body


def _read(content: bytes) -> tuple[Example, ...]:
    """The examples of a training file in chat format; the last two messages of each line are text and answer.

    Raises:
        ApiError: if the file is not what the service asks for.
    """
    if not content.startswith(BOM):
        raise invalid("The file must be JSONL in UTF-8 with a byte order mark.")
    lines = [line for line in content.removeprefix(BOM).split(b"\n") if line.strip()]
    if len(lines) < MIN_EXAMPLES:
        raise invalid(f"The file must have at least {MIN_EXAMPLES} examples, and it has {len(lines)}.")
    return tuple(_example(number, line) for number, line in enumerate(lines, start=1))


def _example(number: int, line: bytes) -> Example:
    try:
        row = json.loads(line)
        roles = [message["role"] for message in row["messages"]]
        contents = [message["content"] for message in row["messages"]]
    except (ValueError, TypeError, KeyError) as error:
        raise invalid(f"Line {number} is not an example in chat format.") from error
    if set(row) != {"messages"} or roles[-2:] != ["user", "assistant"] or roles[:-2] not in ([], ["system"]):
        raise invalid(f"Line {number} must have a user's and an assistant's message, after a system message or none.")
    if not all(isinstance(content, str) and content for content in contents):
        raise invalid(f"Line {number} has a message without text.")
    return contents[-2], contents[-1]


def _model_of(job: _Job) -> str:
    return f"{job.request.model}.ft-{job.id}" + (f"-{job.request.suffix}" if job.request.suffix else "")
