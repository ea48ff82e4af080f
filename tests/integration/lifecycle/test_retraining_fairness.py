"""The gate in a retraining, on a real store: what is refused, what is reported, and that a repeat adds nothing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pegel.lifecycle import retraining as module
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.onset import Onset
from pegel.lifecycle.retraining import Retraining
from pegel.schemas.state_machines import RetrainingState

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
ONSET = Onset("incident-1", START + timedelta(seconds=200), 100)
WORDS = {"alarm": ("set", "timer", "clock", "wake"), "travel": ("book", "flight", "hotel", "train")}


class CrashError(Exception):
    """The process ends here."""


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "check_loads_in_clean_process", lambda *_: None)


def feed(made: Any) -> None:
    """Every fifth text comes by app, is of a class that the champion knows, and until the last 60 is labelled wrongly.

    All others are of a class that it does not know: a challenger gains much, and loses those who come by app.
    """
    rows, segments = [], []
    for n in range(400):
        by_app = n % 5 == 0
        words = WORDS["alarm" if by_app else "travel"]
        true = "alarm" if by_app else "travel"
        label = "nonsense" if by_app and n < 340 else true
        text = f"{words[n % 4]} {words[(n // 4) % 4]} {words[(n // 16) % 4]} live{n}"
        rows.append((START + timedelta(seconds=n), LabelledText(text, label)))
        segments.append({"channel": "app" if by_app else "web", "plan": "free"})
    made.live(rows[:200], 1, segments=segments[:200])
    made.live(rows[200:], 2, segments=segments[200:])


def run(made: Any) -> RetrainingState:
    state = Retraining(
        made.settings, made.tables, made.registry, wait=False, now=made.clock, sleep=made.clock.sleep
    ).run(ONSET)
    assert isinstance(state, RetrainingState)
    return state


def run_of(made: Any) -> Any:
    run_id = made.registry.client.get_model_version(made.settings.model.name, "2").run_id
    return made.registry.client.get_run(run_id)


def download(made: Any, name: str, into: Path) -> Path:
    return Path(made.registry.client.download_artifacts(run_of(made).info.run_id, name, str(into)))


def test_challenger_that_wrongs_a_group_is_rejected_though_it_is_better_on_the_whole(
    deploy: Callable[..., Any], tmp_path: Path
) -> None:
    made = deploy("unfair", fairness={"attributes": ["channel"], "min_group_rows": 10})
    feed(made)
    assert run(made) is RetrainingState.REJECTED
    (row,) = [row for row in made.tables.read("retrainings") if row["state"] == "rejected"]
    assert row["challenger_quality"] > row["champion_quality"]
    assert "it is refused for fairness: its accuracy" in row["detail"]
    assert "'app'" in row["detail"]
    assert made.registry.champion() == "1"
    recorded = json.loads(download(made, "fairness.json", tmp_path).read_text())
    assert recorded["verdict"]["refused"] is True
    assert list(recorded["models"]) == ["champion", "challenger"]
    (accuracy,) = recorded["models"]["challenger"]
    assert [(group["group"], group["rows"]) for group in accuracy["groups"]] == [(["app"], 12), (["web"], 48)]
    assert download(made, "fairness.png", tmp_path).read_bytes().startswith(b"\x89PNG")


def test_without_attributes_segments_are_reported_and_nothing_is_refused(deploy: Callable[..., Any]) -> None:
    made = deploy("reported")
    feed(made)
    assert run(made) is RetrainingState.PROVING
    metrics = run_of(made).data.metrics
    assert metrics["fairness/n/channel/app"] == 12
    assert metrics["fairness/accuracy/channel/app"] < 0.5 < metrics["fairness/accuracy/channel/web"]
    assert metrics["fairness/n/channel plan/web free"] == 48
    # The first step is the champion's, so that the run shows the way from it to the challenger.
    history = made.registry.client.get_metric_history(run_of(made).info.run_id, "fairness/accuracy/channel/app")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, metrics["fairness/accuracy/channel/app"])]


def test_evaluation_that_is_repeated_after_a_crash_logs_nothing_twice(
    deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy("repeated")
    feed(made)
    with monkeypatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise CrashError

        patch.setattr(module, "promote", die)
        with pytest.raises(CrashError):
            run(made)
    before = run_of(made).data.metrics
    assert run(made) is RetrainingState.PROVING
    assert run_of(made).data.metrics == before
    history = made.registry.client.get_metric_history(run_of(made).info.run_id, "fairness/n/channel/app")
    assert [(point.step, point.value) for point in history] == [(0, 12.0), (1, 12.0)]


def test_retraining_without_segments_logs_no_fairness(deploy: Callable[..., Any]) -> None:
    made = deploy("no-segments")
    rows = [
        (START + timedelta(seconds=n), LabelledText(f"book flight {n % 7} live{n}", "travel" if n % 2 else "home"))
        for n in range(400)
    ]
    made.live(rows, 2)
    run(made)
    assert not [key for key in run_of(made).data.metrics if key.startswith("fairness/")]
