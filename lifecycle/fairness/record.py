"""What was found about groups, kept in an MLflow run: numbers, ``fairness.json`` and ``fairness.png``. Edge.

A metric's step says whose it is: 0 for the first model (champion, or before; a first version has no other), 1 for the
next (challenger, or after), so that MLflow draws the way from one to the other and shows the last. Logging the same
again changes nothing.
"""

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pegel.conf.settings import Settings
from pegel.lifecycle.fairness.evaluation import FairnessEvaluation
from pegel.lifecycle.fairness.group_metrics import GroupRate, MetricByGroup
from pegel.lifecycle.fairness.plot import draw, save
from pegel.lifecycle.metric_keys import MAX_KEY_CHARACTERS, MAX_METRICS_PER_CALL, fairness_key
from pegel.lifecycle.registry import (
    REQUEST_RETRIES,
    REQUEST_TIMEOUT_SECONDS,
    Registry,
    asking,
    connect,
    prepare_store,
)
from pegel.streaming.statistics.group_rates import Metric

log = logging.getLogger(__name__)

JSON_FILE = "fairness.json"
PLOT_FILE = "fairness.png"

Models = Mapping[str, Sequence[MetricByGroup]]


def log_to_run(client: Any, run_id: str, models: Models, facts: Mapping[str, Any], *, title: str, at: datetime) -> None:
    """Log the metrics of all models, and the two files.

    Args:
        client: an ``MlflowClient``.
        run_id: the run.
        models: name -> its metrics, the oldest first, measured on the same rows by the same groups.
        facts: what else ``fairness.json`` should say; must be JSON.
        title: of the picture.
        at: the time of the numbers; the same evaluation must say the same, so that it is logged once.

    Raises:
        OutsideError: if MLflow fails; call again.
    """
    from mlflow.entities import Metric as Point

    milliseconds = int(at.timestamp() * 1000)
    points = []
    for step, found in enumerate(models.values()):
        for key, value in numbers(found):
            if len(key) > MAX_KEY_CHARACTERS:
                log.warning("a group has too long a name for MLflow, so only %s has it: %.60s…", JSON_FILE, key)
            else:
                points.append(Point(key, value, milliseconds, step))
    with asking("the fairness metrics"), tempfile.TemporaryDirectory(prefix="pegel-fairness-") as folder:
        for start in range(0, len(points), MAX_METRICS_PER_CALL):
            client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_PER_CALL])
        (Path(folder) / JSON_FILE).write_text(json.dumps(as_json(models, facts), indent=1), encoding="utf-8")
        save(draw(models, title), str(Path(folder) / PLOT_FILE))
        client.log_artifacts(run_id, folder)


def log_evaluation(registry: Registry, version: str, evaluation: FairnessEvaluation) -> None:
    """Log what was found to the run that made the version; nothing if there are no groups.

    Raises:
        OutsideError: if MLflow fails; call again.
    """
    if evaluation.models:
        with asking(f"the run of version {version} of {registry.model!r}"):
            run_id = registry.client.get_model_version(registry.model, version).run_id
        beside = " beside the champion" if len(evaluation.models) > 1 else ""
        title = f"version {version}{beside}, {evaluation.facts['rows']} held-out rows"
        log_to_run(registry.client, run_id, evaluation.models, evaluation.facts, title=title, at=evaluation.at)


def log_file(settings: Settings, models: Models, facts: Mapping[str, Any], *, title: str, at: datetime) -> str:
    """Log what was found in a file to a run of its own in the experiment of the settings.

    Returns:
        the id of the run.

    Raises:
        OutsideError: if MLflow fails.
    """
    import mlflow

    client = connect(settings.mlflow, timeout_seconds=REQUEST_TIMEOUT_SECONDS, retries=REQUEST_RETRIES)
    experiment = prepare_store(client, settings.mlflow)
    with asking("a run for the fairness of a file"), mlflow.start_run(experiment_id=experiment, run_name=title) as run:
        log_to_run(client, run.info.run_id, models, facts, title=title, at=at)
    return str(run.info.run_id)


def numbers(found: Sequence[MetricByGroup]) -> Iterator[tuple[str, float]]:
    """The numbers of one model by their keys in MLflow; what is not defined has none.

    Yields:
        the accuracy of all rows; for each metric and group its rate, over the judged groups its difference and ratio,
        and each group's rows as ``n``, once a grouping.
    """
    if found and found[0].overall.value is not None:
        yield fairness_key(found[0].metric, ()), found[0].overall.value
    for one in found:
        for rate in one.rates:
            if one.metric is Metric.ACCURACY:
                yield fairness_key("n", one.attributes, group=rate.group), float(rate.rows)
            if rate.value is not None:
                yield fairness_key(one.metric, one.attributes, group=rate.group, label=one.label), rate.value
        for name, value in (("difference", one.difference), ("ratio", one.ratio)):
            if value is not None:
                yield fairness_key(f"{one.metric}_{name}", one.attributes, label=one.label), value


def as_json(models: Models, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All of it for ``fairness.json``; a missing value and what is not defined are null."""
    return {**facts, "models": {name: [_metric(one) for one in found] for name, found in models.items()}}


def _metric(one: MetricByGroup) -> dict[str, Any]:
    interval = one.difference_interval
    return {
        "metric": str(one.metric),
        "label": one.label or None,
        "attributes": list(one.attributes),
        "difference": one.difference,
        "difference_interval": [interval.lower, interval.upper] if interval else None,
        "ratio": one.ratio,
        "overall": _rate(one.overall),
        "groups": [{"group": list(rate.group)} | _rate(rate) | {"judged": rate.judged} for rate in one.rates],
    }


def _rate(rate: GroupRate) -> dict[str, Any]:
    interval = [rate.interval.lower, rate.interval.upper] if rate.interval else None
    return {"rows": rate.rows, "n": rate.n, "hits": rate.hits, "value": rate.value, "interval": interval}
