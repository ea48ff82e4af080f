"""The adapter for a model that is brought as a folder, such as one on a Volume: it is kept as it is. Edge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pegel.errors import SettingsError
from pegel.lifecycle.adapter import CONFIDENCE, INPUT_LENGTH, INPUT_WORDS, LATENCY, OUTPUT
from pegel.lifecycle.labelled_text import LabelledText, texts_of
from pegel.lifecycle.loaded_model import LoadedModel
from pegel.lifecycle.model_logging import log_training_rows
from pegel.schemas.grids import CATEGORICAL, NUMERIC, GridColumn
from pegel.schemas.model_io import Answer

TRIED_TEXTS = 3
_FOLDER = "model"


class BroughtModelAdapter:
    """See :class:`~pegel.lifecycle.adapter.ModelAdapter`.

    Loading a model runs the code that it brings: take folders only from whom you would take a program.

    Args:
        folder: an MLflow model: a file ``MLmodel`` with the flavour ``python_function`` and a signature.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, rows: Sequence[LabelledText], *, experiment_id: str, run_name: str) -> str:
        """Try the model, then copy it and the rows that it was made from into a run.

        Raises:
            SettingsError: if the folder is no such model, or its answers do not follow the contract.
        """
        import mlflow

        check_folder(self._folder)
        self._try(texts_of(rows[:TRIED_TEXTS]))
        with mlflow.start_run(experiment_id=experiment_id, run_name=run_name) as run:
            mlflow.log_params({"training_rows": len(rows), "classes": len({row.label for row in rows})})
            log_training_rows(rows)
            mlflow.log_artifacts(str(self._folder), _FOLDER)
            return f"runs:/{run.info.run_id}/{_FOLDER}"

    def watched(self, answers: Sequence[Answer]) -> tuple[GridColumn, ...]:
        """Texts, outputs and latency; the confidence if there are probabilities; each feature that an answer has.

        A feature is numeric if all its values are numbers, else it is categorical.
        """
        confident = (CONFIDENCE,) if any(answer.probabilities for answer in answers) else ()
        names = sorted({name for answer in answers for name in answer.features})
        features = (GridColumn(name, _kind(name, answers), f"features.{name}") for name in names)
        taken = {column.name for column in (INPUT_LENGTH, INPUT_WORDS, OUTPUT, CONFIDENCE, LATENCY)}
        fresh = (column for column in features if column.name not in taken)
        return (INPUT_LENGTH, INPUT_WORDS, *confident, *fresh, OUTPUT, LATENCY)

    def _try(self, texts: Sequence[str]) -> None:
        import mlflow

        try:
            model = mlflow.pyfunc.load_model(str(self._folder))
        except Exception as error:  # a model's code may raise anything
            msg = f"the model in {self._folder} does not load: {type(error).__name__}: {_first_line(error)}"
            raise SettingsError(msg) from error
        try:
            answers = LoadedModel("brought", model).answer(texts)
        except (KeyError, TypeError, ValueError, AttributeError, mlflow.MlflowException) as error:
            msg = (
                f"the answers of the model in {self._folder} do not follow the contract of schemas/model_io.py "
                f"({type(error).__name__}: {_first_line(error)}); give a frame with output, probabilities and features"
            )
            raise SettingsError(msg) from error
        if len(answers) != len(texts):
            msg = f"the model in {self._folder} gives {len(answers)} answers to {len(texts)} texts; give one for each"
            raise SettingsError(msg)


def check_folder(folder: Path) -> None:
    """See that a folder is an MLflow model that can be served here; nothing of it is run.

    Raises:
        SettingsError: if ``MLmodel`` is missing or unreadable, or names no pyfunc or no signature.
    """
    file = folder / "MLmodel"
    try:
        found: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"{file} cannot be read: {_first_line(error)}; --model-path wants the folder of an MLflow model"
        raise SettingsError(msg) from error
    if not isinstance(found, dict) or "python_function" not in (found.get("flavors") or {}):
        msg = f"{file} has no flavour python_function; log the model as a pyfunc"
        raise SettingsError(msg)
    if not found.get("signature"):
        msg = f"{file} has no signature, and Unity Catalog takes no model without one; log the model with a signature"
        raise SettingsError(msg)


def _kind(name: str, answers: Sequence[Answer]) -> str:
    values = [answer.features[name] for answer in answers if answer.features.get(name) is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return NUMERIC if numbers and values else CATEGORICAL


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason"])[0]
