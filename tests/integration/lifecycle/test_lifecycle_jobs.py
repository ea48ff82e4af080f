"""``pegel build-baseline`` and ``pegel retrain`` as jobs: from files to a champion, and what is there and no more."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pegel.errors import SettingsError
from pegel.jobs import build_baseline, retrain
from pegel.lifecycle import registration
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registry import Registry
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)


def arguments_of(settings: Any) -> list[str]:
    pairs = {
        "storage.root": settings.storage.root,
        "mlflow.tracking_uri": settings.mlflow.tracking_uri,
        "model.name": settings.model.name,
    }
    return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]


def write(path: Path, count: int) -> Path:
    words = {"music": "play a song", "alarm": "set a timer", "home": "dim the lights"}
    rows = [{"text": f"{text} number{n}", "label": label} for n in range(count) for label, text in words.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("champion", [False, True])
def test_build_baseline_registers_a_version_with_its_baseline_and_serves_it_only_if_asked(
    settings_for: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, champion: bool
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(registration, "check_loads_in_clean_process", lambda _, version, __: checked.append(version))
    settings = settings_for(f"from-files-{champion}")
    files = ["--rows", str(write(tmp_path / "rows.jsonl", 10))]
    files += ["--validation", str(write(tmp_path / "validation.jsonl", 20))]
    options = ["--champion"] if champion else []
    assert build_baseline.main([*arguments_of(settings), *files, *options]) == 0
    assert checked == ["1"]
    assert Registry(settings).champion() == ("1" if champion else None)
    (baseline,) = DeltaTables(settings.storage.root).read("baselines")
    assert (baseline["version"], dict(baseline["counts"])["events"]) == ("1", 60)
    assert baseline["source"] == "rows.jsonl, validated on validation.jsonl"


def test_build_baseline_names_the_row_that_is_wrong(settings_for: Callable[..., Any], tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", 1)
    rows.write_text(rows.read_text() + '{"text": "no label"}\n')
    with pytest.raises(SettingsError, match=r"row 4 of .*rows\.jsonl"):
        build_baseline.main([*arguments_of(settings_for("wrong-row")), "--rows", str(rows), "--validation", str(rows)])


def test_retrain_told_to_do_what_is_there_starts_and_waits_for_no_label(deploy: Callable[..., Any]) -> None:
    made = deploy("job")
    transition = {"incident_id": "incident-9", "model": "job", "version": "1", "state": "confirmed", "sequence": 2}
    words = dict.fromkeys(("rule", "segment", "column", "title", "message", "runbook", "policy_hash"), "-")
    rest = {"columns": [], "windows": [], "severity": 2, "action": "retrain", "calibrated": False, "batch_id": 1}
    rest |= {"alert_id": "a", "code_version": "0", "first_batch_id": 1, "last_batch_id": 1, "decided_time": START}
    made.tables.append("alerts", [{**words, **transition, **rest}])
    assert retrain.main([*arguments_of(made.settings), "--incident", "incident-9", "--available-now"]) == 0
    assert made.states() == ["started"]
    with pytest.raises(SettingsError, match="no incident 'another'"):
        retrain.main([*arguments_of(made.settings), "--incident", "another", "--available-now"])


def test_retrain_by_schedule_asks_for_no_incident_and_names_its_champion(deploy: Callable[..., Any]) -> None:
    made = deploy("by-schedule")
    made.live([(START, LabelledText("book a flight", "travel"))], 1)
    assert retrain.main([*arguments_of(made.settings), "--scheduled", "--available-now"]) == 0
    (row,) = made.tables.read("retrainings")
    assert (row["incident_id"], row["state"], row["champion"]) == ("scheduled-1", "started", "1")


@pytest.mark.parametrize("options", [[], ["--incident", "i", "--scheduled"]])
def test_retrain_is_about_one_incident_or_the_schedule(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        retrain.main(options)
    assert ended.value.code == 2
