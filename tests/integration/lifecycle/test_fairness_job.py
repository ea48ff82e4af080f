"""``pegel fairness`` from a file to its tables and its run, on a real store."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pegel.errors import SettingsError
from pegel.jobs import fairness
from pegel.lifecycle.registry import Registry


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Two groups with the same labels; one is scored too high. A third has one row, a fourth no name."""
    path, rng = tmp_path / "scores.csv", random.Random(5)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "score", "group"])
        for n in range(600):
            group = "[bold]a" if n % 4 < 2 else "b"
            writer.writerow([n % 2, n % 2 + rng.gauss(0, 0.6) + 0.5 * (group == "b"), group])
        writer.writerow([1, 0.9, "tiny"])
        writer.writerow([1, 0.9, ""])
    return path


def run(settings: Any, *options: str) -> int:
    pairs = {"mlflow.tracking_uri": settings.mlflow.tracking_uri, "mlflow.experiment": settings.mlflow.experiment}
    return fairness.main([part for key, value in pairs.items() for part in ("--set", f"{key}={value}")] + [*options])


def newest_run(settings: Any) -> tuple[Any, Any]:
    client = Registry(settings).client
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])[0]


def test_file_is_measured_printed_and_logged(
    settings_for: Callable[..., Any], scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for("fair-file")
    by = ["--rows", str(scores), "--label", "label", "--score", "score", "--positive", "1", "--group", "group"]
    assert run(settings, *by) == 0
    shown = capsys.readouterr().out
    for text in ("by group, positive is '1'", "[bold]a", "(missing)", "tiny", "602"):
        assert text in shown
    client, found = newest_run(settings)
    assert (found.info.run_name, found.info.status) == ("fairness of scores.csv", "FINISHED")
    metrics = found.data.metrics
    assert metrics["fairness/n/group/:5Bbold:5Da"] == 300
    assert metrics["fairness/n/group/:missing"] == 1
    assert metrics["fairness/false_positive_rate_difference/group/1"] > 0.1
    recorded = json.loads(
        Path(client.download_artifacts(found.info.run_id, "fairness.json", str(tmp_path))).read_text()
    )
    assert (recorded["rows"], recorded["left_out"], list(recorded["models"])) == (602, 0, ["before"])


def test_mitigation_is_tried_on_held_out_rows_and_logged_before_and_after(
    settings_for: Callable[..., Any], scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for("fair-mitigated")
    by = ["--rows", str(scores), "--label", "label", "--score", "score", "--positive", "1", "--group", "group"]
    assert run(settings, *by, "--mitigate", "threshold", "--held-out-share", "0.5") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "points of accuracy on 301 held-out rows" in shown
    client, found = newest_run(settings)
    key = "fairness/false_positive_rate_difference/group/1"
    before, after = (point.value for point in client.get_metric_history(found.info.run_id, key))
    assert after < before / 2
    assert found.data.metrics[key] == after
    assert [point.step for point in client.get_metric_history(found.info.run_id, "fairness/accuracy")] == [0, 1]
    recorded = json.loads(
        Path(client.download_artifacts(found.info.run_id, "fairness.json", str(tmp_path))).read_text()
    )
    assert recorded["mitigation"]["groups_that_keep_their_decisions"] == [["tiny"], [None]]
    assert list(recorded["models"]) == ["before", "after"]
    picture = Path(client.download_artifacts(found.info.run_id, "fairness.png", str(tmp_path)))
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--prediction", "label"], "give --group"),
        (["--score", "score", "--group", "group"], "0 are named; give --positive once"),
        (["--score", "score", "--group", "group", "--positive", "0", "--positive", "1"], "2 are named"),
        (["--prediction", "label", "--group", "group", "--mitigate", "gradient"], "0 are named"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    settings_for: Callable[..., Any], scores: Path, options: list[str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        run(settings_for("fair-refused"), "--rows", str(scores), "--label", "label", *options)


@pytest.mark.parametrize(
    "options", [[], ["--prediction", "p", "--score", "s"], ["--score", "s", "--held-out-share", "1"]]
)
def test_a_file_has_predictions_or_scores_and_a_share_is_between_0_and_1(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fairness.main(["--rows", "x.csv", "--label", "label", *options])
    assert ended.value.code == 2
