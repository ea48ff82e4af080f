"""Training is autologged into the run of its version, and nothing else in the process is."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from pegel.errors import OutsideError, SettingsError
from pegel.lifecycle.autologging import MAX_CLASSES, autologged_run
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.text_classifier import TextClassifierAdapter


def runs_of(registry: Registry) -> list[Any]:
    return list(registry.client.search_runs([registry.prepare_store()], max_results=1000))


def train(registry: Registry, rows: list[LabelledText]) -> Any:
    """The run of a training."""
    before = {run.info.run_id for run in runs_of(registry)}
    TextClassifierAdapter().make(rows, experiment_id=registry.prepare_store(), run_name="trained")
    (run,) = [run for run in runs_of(registry) if run.info.run_id not in before]
    return run


def rows_of(classes: int, each: int = 3) -> list[LabelledText]:
    return [LabelledText(f"word{c} again{n}", f"class {c}") for c in range(classes) for n in range(each)]


def files_of(registry: Registry, run: Any) -> set[str]:
    return {file.path for file in registry.client.list_artifacts(run.info.run_id)}


def test_training_is_autologged_into_the_one_run_of_its_version(champion: Any) -> None:
    registry = champion.registry
    run = registry.client.get_run(registry.client.get_model_version("shared", "1").run_id)
    assert (run.info.run_name, run.info.status) == ("build-baseline", "FINISHED")
    assert run.data.params["classifier__alpha"] == "3e-06"
    assert run.data.params["tfidf__min_df"] == "2"
    assert run.data.params["training_rows"] == "120"
    assert run.data.metrics["training_accuracy_score"] == 1.0
    assert {"training", "training_confusion_matrix.png"} <= files_of(registry, run)
    # The model is logged once, without pickle: autologging adds none.
    logged = registry.client.search_logged_models([run.info.experiment_id])
    assert len([model for model in logged if model.source_run_id == run.info.run_id]) == 1
    assert run.inputs.dataset_inputs == []


def test_many_classes_are_logged_without_the_picture(champion: Any) -> None:
    run = train(champion.registry, rows_of(MAX_CLASSES + 1))
    assert run.data.params["classifier__alpha"] == "3e-06"
    assert run.data.metrics == {"training_score": 1.0}
    assert files_of(champion.registry, run) == {"training"}


def test_what_is_fitted_outside_a_training_leaves_no_trace(champion: Any) -> None:
    run = train(champion.registry, rows_of(3))
    before = len(runs_of(champion.registry))
    LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    assert len(runs_of(champion.registry)) == before
    same = champion.registry.client.get_run(run.info.run_id)
    assert same.data.params == run.data.params


def test_training_that_fails_ends_its_run_and_switches_autologging_off(champion: Any) -> None:
    registry = champion.registry
    with pytest.raises(SettingsError, match="at least two classes"):
        train(registry, rows_of(1))
    newest = max(runs_of(registry), key=lambda run: int(run.info.start_time))
    assert newest.info.status == "FAILED"
    before = len(runs_of(registry))
    LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    assert len(runs_of(registry)) == before


def test_run_that_cannot_be_opened_is_a_fault_of_the_outside(settings_for: Callable[..., Any]) -> None:
    Registry(settings_for("nowhere"))
    with (
        pytest.raises(OutsideError, match="a run for the training"),
        autologged_run(experiment_id="99999", run_name="x", classes=2),
    ):
        pytest.fail("there is no such experiment")
