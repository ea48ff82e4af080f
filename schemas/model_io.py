"""What a served model takes and gives: the contract between training, registry and ``/predict``. Pure.

A model is an MLflow pyfunc. It takes a frame with the column :data:`TEXT` and gives a frame of the same length with the
columns :data:`OUTPUT` (str), :data:`PROBABILITIES` (dict class -> probability, the highest few are enough) and
:data:`FEATURES` (dict name -> number: what the model itself says of its input, watched as ``features.<name>``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TEXT = "text"
OUTPUT = "output"
PROBABILITIES = "probabilities"
FEATURES = "features"

# Tags of a model version in the registry.
TAG_BASELINE = "pegel.baseline_id"
TAG_GRID = "pegel.grid"
TAG_VALIDATION = "pegel.validation"
TAG_TRAINING = "pegel.training"
"""Which rows it was trained on, as JSON: batch_id_max, rows, checksum."""
TAG_RETRAINING = "pegel.retraining"
"""Which attempt of which incident made it, as ``incident_id:attempt``: a restarted retraining finds its own version."""

VALIDATION_PENDING = "pending"
VALIDATION_PASSED = "passed"
"""Only a version whose :data:`TAG_VALIDATION` says so is ever served."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one text."""

    output: str
    probabilities: dict[str, float]
    features: dict[str, float]

    @property
    def confidence(self) -> float | None:
        """The highest probability; None if the model gives none."""
        return max(self.probabilities.values(), default=None)


def answers_of(frame: Mapping[str, Iterable[Any]]) -> list[Answer]:
    """Read the frame that a model gives (a pandas frame, or anything with these three columns).

    Example:
        >>> answers_of({"output": ["a"], "probabilities": [{"a": 0.75}], "features": [{}]})[0].confidence
        0.75
    """
    columns = zip(frame[OUTPUT], frame[PROBABILITIES], frame[FEATURES], strict=True)
    return [Answer(str(output), dict(probabilities), dict(features)) for output, probabilities, features in columns]
