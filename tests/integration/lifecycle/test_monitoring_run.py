"""Final metrics in MLflow: which points there are after any number of replays, in which run, and what is left out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pegel.errors import OutsideError
from pegel.lifecycle import monitoring_run
from pegel.lifecycle.monitoring_run import TAG_CURSOR, TAG_RUN, MonitoringRuns
from pegel.tables.delta import DeltaTables

MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)

Point = tuple[str, str, float, int, int]


class Monitored:
    """A model that is watched, in an experiment of its own, and what MLflow holds about it."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.tables = DeltaTables(settings.storage.root)
        self.runs = self.restarted()

    def restarted(self) -> MonitoringRuns:
        return MonitoringRuns(self.tables, self.settings)

    def write(self, batch_id: int, *rows: dict[str, Any]) -> None:
        given = {"model": self.settings.model.name, "version": "1", "segment": "*", "column": "", "metric": "accuracy"}
        given |= {"window_s": 10, "baseline_id": "", "revision": batch_id, "batch_id": batch_id, "n": 50}
        self.tables.append("metrics", [{**given, **row} for row in rows])

    @property
    def experiment(self) -> Any:
        return self.runs._client.get_experiment_by_name(self.settings.mlflow.experiment)

    def points(self) -> list[Point]:
        """Every point of every run: run, key, value, step, timestamp; sorted, copies and all."""
        client, found = self.runs._client, []
        for run in client.search_runs([self.experiment.experiment_id]):
            for key in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, key)
                found += [(run.data.tags[TAG_RUN], key, point.value, point.step, point.timestamp) for point in history]
        return sorted(found)

    def forget_the_cursor(self) -> None:
        """As if the process had died between the points and the cursor."""
        self.runs._client.set_experiment_tag(self.experiment.experiment_id, TAG_CURSOR, "-1")


@pytest.fixture
def monitored(settings_for: Callable[..., Any]) -> Callable[..., Monitored]:
    return lambda name: Monitored(settings_for(name, mlflow={"experiment": f"of {name}"}))


def at(seconds: int) -> dict[str, Any]:
    return {"window_start": MIDNIGHT + timedelta(seconds=seconds)}


def test_points_say_their_window_and_a_replay_adds_nothing(monitored: Callable[..., Monitored]) -> None:
    made = monitored("replayed")
    made.write(1, at(-10) | {"value": 0.5}, at(0) | {"value": 0.75}, at(0) | {"value": 0.25, "window_s": 60})
    made.write(2, at(0) | {"value": 1.0}, at(10) | {"column": "output", "metric": "psi", "value": 0.125})
    assert made.runs.advance() == 5
    step, end_ms = int(MIDNIGHT.timestamp()) // 10, int(MIDNIGHT.timestamp()) * 1000 + 10_000
    expected = [
        ("replayed/2026-11-25", "accuracy/v1", 0.5, step - 1, end_ms - 10_000),
        ("replayed/2026-11-26", "60s/accuracy/v1", 0.25, int(MIDNIGHT.timestamp()) // 60, end_ms + 50_000),
        ("replayed/2026-11-26", "accuracy/v1", 0.75, step, end_ms),
        ("replayed/2026-11-26", "accuracy/v1/r2", 1.0, step, end_ms),
        ("replayed/2026-11-26", "drift/psi/output/v1", 0.125, step + 1, end_ms + 10_000),
    ]
    assert made.points() == expected
    assert made.runs.advance() == 0
    made.forget_the_cursor()
    assert made.restarted().advance() == 5
    assert made.points() == expected


def test_a_failure_between_two_runs_is_made_good_at_the_next_turn(
    monitored: Callable[..., Monitored], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = monitored("half-logged")
    made.write(1, at(-10) | {"value": 0.5}, at(0) | {"value": 0.75})
    log_batch, calls = made.runs._client.log_batch, []

    def fails_once(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("the server is away")
        log_batch(*arguments, **options)

    monkeypatch.setattr(made.runs._client, "log_batch", fails_once)
    with pytest.raises(OutsideError, match="the server is away"):
        made.runs.advance()
    assert len(made.points()) == 1
    assert made.runs.advance() == 2
    assert [point[2] for point in made.points()] == [0.5, 0.75]


def test_a_restart_logs_only_what_is_new_into_the_run_that_is_there(monitored: Callable[..., Monitored]) -> None:
    made = monitored("restarted")
    made.write(1, at(0) | {"value": 0.5})
    assert made.runs.advance() == 1
    made.write(2, at(0) | {"value": 0.75}, at(10) | {"value": 1.0})
    assert made.restarted().advance() == 2
    assert [point[:3] for point in made.points()] == [
        ("restarted/2026-11-26", "accuracy/v1", 0.5),
        ("restarted/2026-11-26", "accuracy/v1", 1.0),
        ("restarted/2026-11-26", "accuracy/v1/r2", 0.75),
    ]
    assert len(made.runs._client.search_runs([made.experiment.experiment_id])) == 1


def test_segments_unknown_models_and_numbers_that_are_none_are_left_out(monitored: Callable[..., Monitored]) -> None:
    made = monitored("left-out")
    baseline = {"baseline_id": "b", "model": "a neighbour's", "version": "1", "grid": "g", "created_at": MIDNIGHT}
    made.tables.append("baselines", [baseline | {"source": "test", "counts": [], "numeric": [], "categorical": []}])
    made.write(
        1,
        at(0) | {"value": 0.5, "segment": "channel=web"},
        at(0) | {"value": 0.5, "model": "nobody's"},
        at(0) | {"value": 0.75, "model": "a neighbour's"},
        at(0) | {"value": None, "metric": "error_rate"},
        at(0) | {"value": float("inf"), "metric": "events"},
        at(0) | {"value": 0.5, "column": "x" * 300, "metric": "mean"},
        at(0) | {"value": 0.25, "column": "amount (€)/day", "metric": "mean"},
    )
    assert made.runs.advance() == 2
    assert [point[:3] for point in made.points()] == [
        ("a:20neighbour:27s/2026-11-26", "accuracy/v1", 0.75),
        ("left-out/2026-11-26", "mean/amount:20:28:E2:82:AC:29:2Fday/v1", 0.25),
    ]


def test_many_numbers_go_in_calls_that_a_server_takes(
    monitored: Callable[..., Monitored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring_run, "MAX_METRICS_PER_CALL", 10)
    made = monitored("many")
    made.write(1, *(at(10 * n) | {"value": float(n)} for n in range(25)))
    sizes, log_batch = [], made.runs._client.log_batch

    def counted(run_id: str, metrics: Any) -> None:
        sizes.append(len(metrics))
        log_batch(run_id, metrics=metrics)

    monkeypatch.setattr(made.runs._client, "log_batch", counted)
    assert made.runs.advance() == 25
    assert sizes == [10, 10, 5]
    assert sorted(point[2] for point in made.points()) == [float(n) for n in range(25)]
