"""``pegel build-baseline`` and ``pegel retrain`` as jobs: from files to a champion, and what is there and no more."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pegel.errors import OutsideError, SettingsError
from pegel.jobs import build_baseline, retrain
from pegel.lifecycle import registration
from pegel.lifecycle.first_version import FirstVersionRefusedError
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registry import Registry
from pegel.schemas.audit import from_row
from pegel.schemas.audit_verification import Verification
from pegel.schemas.model_io import TAG_VALIDATION, VALIDATION_PENDING
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


def decisions(settings: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """What the trail of `build-baseline` holds, if it is whole: decision, reason, evidence."""
    rows = DeltaTables(settings.storage.root).read("audit_events_build_baseline", "SELECT * FROM t ORDER BY sequence")
    assert Verification("build_baseline", []).read(from_row(row) for row in rows).findings == []
    return [(row["decision"], row["reason"], json.loads(row["evidence"])) for row in rows]


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
    recorded = decisions(settings)
    assert len(recorded) == int(champion)
    for decision, reason, evidence in recorded:
        assert (decision, evidence["challenger"], evidence["baseline_id"]) == ("promoted", "1", baseline["baseline_id"])
        assert (evidence["training_rows"], evidence["validation_rows"], evidence["right"]) == (30, 60, 60)
        assert "fairness was not judged" in reason


def test_champion_that_cannot_be_recorded_does_not_serve(
    settings_for: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "check_loads_in_clean_process", lambda *_: None)
    settings = settings_for("not-recorded")
    table = Path(DeltaTables(settings.storage.root).uri("audit_events_build_baseline"))
    table.parent.mkdir(parents=True)
    table.write_text("where a table should be")
    rows = str(write(tmp_path / "rows.jsonl", 10))
    with pytest.raises(OutsideError, match="audit_events_build_baseline"):
        build_baseline.main([*arguments_of(settings), "--rows", rows, "--validation", rows, "--champion"])
    assert Registry(settings).champion() is None
    assert DeltaTables(settings.storage.root).read("promotions") == []


def test_first_version_that_wrongs_a_group_of_its_file_is_recorded_and_does_not_serve(
    settings_for: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "check_loads_in_clean_process", lambda *_: None)
    settings = settings_for("unfair-first")
    rows, validation = write(tmp_path / "rows.jsonl", 10), write(tmp_path / "validation.jsonl", 40)
    judged = [json.loads(line) for line in validation.read_text().splitlines()]
    for row in judged:
        row["channel"] = "app" if row["label"] == "home" else "web"
        row["label"] = "nonsense" if row["label"] == "home" else row["label"]
    validation.write_text("".join(json.dumps(row) + "\n" for row in judged))
    files = ["--rows", str(rows), "--validation", str(validation), "--set", "fairness.attributes=[channel]"]
    with pytest.raises(FirstVersionRefusedError, match="version 1 of 'unfair-first' is registered and must not serve"):
        build_baseline.main([*arguments_of(settings), *files, "--champion"])
    registry = Registry(settings)
    assert registry.champion() is None
    assert registry.tags("1")[TAG_VALIDATION] == VALIDATION_PENDING
    run_id = registry.client.get_model_version("unfair-first", "1").run_id
    assert registry.client.get_run(run_id).data.metrics["fairness/accuracy/channel/app"] == 0.0
    ((decision, reason, evidence),) = decisions(settings)
    assert (decision, evidence["challenger"]) == ("rejected", "1")
    assert "for 'web' and 0.0% of" in reason


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
