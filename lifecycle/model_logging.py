"""Log a model from code as a pyfunc, and the rows that it was made from beside it in the same run. Edge."""

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pegel.lifecycle.labelled_text import TRAINING_FILE, TRAINING_FOLDER, LabelledText, write_labelled_texts
from pegel.schemas import model_io


def log_version(
    code: str,
    rows: Sequence[LabelledText],
    *,
    experiment_id: str,
    run_name: str | None = None,
    run_id: str | None = None,
    packages: Sequence[str],
    artifacts: Mapping[str, str],
    params: Mapping[str, str | int],
    config: Mapping[str, Any] | None = None,
    prompts: Sequence[str] = (),
) -> str:
    """Log one model.

    Args:
        code: the file beside this one that MLflow copies and runs to load the model.
        rows: what the model was made from. They are an artefact of the run, not of the model: who retrains needs
            them, who serves must not load them.
        experiment_id: where the run lies.
        run_name: of the run, if it is a new one.
        run_id: a run that is there already, to log into.
        packages: what the code imports; the versions installed here are written down.
        artifacts: name -> file, for the model to load.
        params: of the run.
        config: what the code finds as ``context.model_config``; it is readable by all who may read the model.
        prompts: URIs in the prompt registry that the model is made of.

    Returns:
        the URI of the logged model, ``models:/m-…``.
    """
    import mlflow

    with (
        mlflow.start_run(run_id=run_id, experiment_id=experiment_id, run_name=run_name),
        resources.as_file(resources.files("pegel.lifecycle").joinpath(code)) as path,
        warnings.catch_warnings(),
    ):
        # It asks for an input example to infer a signature from; the signature is given.
        warnings.simplefilter("ignore", UserWarning)
        mlflow.log_params(dict(params))
        log_training_rows(rows)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(path),
            artifacts=dict(artifacts),
            signature=signature(calls_out=config is not None),
            model_config=dict(config) if config is not None else None,
            pip_requirements=[f"{name}=={version(name)}" for name in packages],
            prompts=list(prompts) or None,
        )
    return str(info.model_uri)


def log_training_rows(rows: Sequence[LabelledText]) -> None:
    """Keep rows in the run that is open."""
    import mlflow

    with tempfile.TemporaryDirectory(prefix="pegel-rows-") as folder:
        training = Path(folder) / TRAINING_FILE
        write_labelled_texts(training, rows)
        mlflow.log_artifact(str(training), TRAINING_FOLDER)


def signature(*, calls_out: bool = False) -> Any:
    """The contract of ``schemas/model_io.py`` as MLflow writes it.

    Args:
        calls_out: whether the model asks another service, and so gives what it adds to the event and its failures too.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Map

    given = [
        ColSpec(DataType.string, model_io.OUTPUT),
        ColSpec(Map(DataType.double), model_io.PROBABILITIES),
        ColSpec(AnyType() if calls_out else Map(DataType.double), model_io.FEATURES),
    ]
    if calls_out:
        given += [ColSpec(AnyType(), model_io.EVENT_FIELDS), ColSpec(AnyType(), model_io.ERROR)]
    return ModelSignature(Schema([ColSpec(DataType.string, model_io.TEXT)]), Schema(given))
