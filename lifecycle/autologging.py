"""MLflow's autologging of a training with scikit-learn, switched on for that training alone. Edge.

``mlflow.autolog()`` would patch every library that is installed, Spark and ``openai`` included, and stay on. This is
its scikit-learn part, inside one run: what is fitted before or after leaves no trace.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pegel.lifecycle.registry import asking

MAX_CLASSES = 20
"""Autologging draws a confusion matrix: on two cores 0.2 s for 10 classes and 6,000 texts, but a minute for 150 and
15,000. Beyond this many classes :func:`log_by_hand` logs the parameters and the score without it."""
MAX_VALUE_CHARACTERS = 500


@contextmanager
def autologged_run(*, experiment_id: str, run_name: str, classes: int) -> Iterator[str]:
    """Open a run and autolog what is fitted inside it: parameters and metrics of the training, no model, no data.

    The model is logged by :mod:`pegel.lifecycle.model_logging`, without pickle; the rows beside it.

    Args:
        experiment_id: where the run lies.
        run_name: of the run.
        classes: how many classes are learned; above :data:`MAX_CLASSES` nothing is autologged.

    Yields:
        the id of the run, which ends with the block; it may be opened again.

    Raises:
        OutsideError: if MLflow cannot open the run. What autologging itself cannot log is left out.
    """
    import matplotlib as mpl
    import mlflow

    # The confusion matrix is drawn by pyplot, which would want a screen.
    mpl.use("Agg")
    with asking("a run for the training"), mlflow.start_run(experiment_id=experiment_id, run_name=run_name) as run:
        mlflow.sklearn.autolog(
            disable=classes > MAX_CLASSES,
            log_models=False,
            log_datasets=False,
            log_input_examples=False,
            log_model_signatures=False,
            log_post_training_metrics=False,
            silent=True,
        )
        try:
            yield str(run.info.run_id)
        finally:
            mlflow.sklearn.autolog(disable=True, silent=True)


def log_by_hand(pipeline: Any, score: float) -> None:
    """Log to the open run, by the names of autologging, what it says of a pipeline without drawing.

    Args:
        pipeline: a fitted scikit-learn pipeline.
        score: its accuracy on its training rows, 0 to 1.
    """
    import mlflow

    with asking("the parameters of the training"):
        mlflow.log_params({name: str(value)[:MAX_VALUE_CHARACTERS] for name, value in pipeline.get_params().items()})
        mlflow.log_metric("training_score", score)
