"""The card of a version lies in its MLflow run from its registration on, and the command shows the newest facts."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pegel.errors import OutsideError, SettingsError
from pegel.jobs import model_card
from pegel.lifecycle import registration
from pegel.lifecycle.card_facts import gather, log_card
from pegel.lifecycle.model_card import card_file
from pegel.lifecycle.registry import Registry
from pegel.schemas.model_io import TAG_RETRAINING
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)


def logged(made: Any, version: str, into: Path) -> str:
    run_id = made.registry.client.get_model_version(made.settings.model.name, version).run_id
    return Path(
        mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{card_file(version)}", dst_path=str(into))
    ).read_text()


def arguments_of(settings: Any) -> list[str]:
    pairs = {
        "storage.root": settings.storage.root,
        "mlflow.tracking_uri": settings.mlflow.tracking_uri,
        "model.name": settings.model.name,
    }
    return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]


def test_a_version_has_its_card_when_it_is_registered(
    settings_for: Callable[..., Any], champion: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "check_loads_in_clean_process", lambda *_: None)
    settings = settings_for("carded-first")
    # Not one that shares its run with other models, as the deployments of other tests do.
    made = type(champion)(settings, DeltaTables(settings.storage.root), Registry(settings))
    made.register_champion()
    card = logged(made, "1", tmp_path)
    assert card.startswith("# carded-first, version 1\n")
    assert "| Serves as | champion |" in card
    assert "| Validation | passed |" in card
    assert "UTC, first, by build-baseline |" in card
    assert "| parameter training\\_rows | 120 |" in card
    assert "social-scoring" in card
    assert "it was compared with no champion" in card


def test_versions_that_share_a_run_have_a_card_each_that_is_written_once(
    champion: Any, deploy: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    log_text = mlflow.MlflowClient.log_text

    def counted(self: Any, run_id: str, text: str, artifact_file: str) -> None:
        written.append(artifact_file)
        log_text(self, run_id, text, artifact_file)

    monkeypatch.setattr(mlflow.MlflowClient, "log_text", counted)
    made = deploy("carded-twice")
    shared = champion.registry.client.get_model_version("shared", "1").source
    version = made.registry.register(shared, {})
    log_card(made.registry, made.tables, version, START)
    assert (version, written) == ("2", ["model_card_1.md", "model_card_2.md"])
    for number in ("1", "2"):
        assert logged(made, number, tmp_path / number).startswith(f"# carded-twice, version {number}\n")


def test_the_command_shows_what_was_seen_since(
    deploy: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = deploy("carded")
    for n in range(3):
        made.window("1", START + timedelta(seconds=10 * n), 0.9)
        made.block("1", START + timedelta(seconds=10 * n), effect=0.5 if n == 2 else 0.0)
    assert model_card.main(["--version", "1", *arguments_of(made.settings)]) == 0
    shown = capsys.readouterr().out
    assert "| Accuracy in final windows with labels | 90.0% |" in shown
    assert "| Closed blocks | 3 |" in shown
    assert "| Blocks in which confidence rang | 1 |" in shown
    assert model_card.main(["--log", *arguments_of(made.settings)]) == 0
    assert "| Closed blocks | 3 |" in logged(made, "1", tmp_path)


def test_a_card_tells_the_retraining_the_alerts_and_the_fairness_of_its_own_version(deploy: Callable[..., Any]) -> None:
    made = deploy("carded-too")
    made.registry.set_tags("1", {TAG_RETRAINING: "incident-1:2"})
    row = {"incident_id": "incident-1", "at": START, "model": "carded-too", "champion": "0"}
    numbers = {"champion_quality": 0.5, "challenger_quality": 0.75, "detail": "better"}
    for attempt in (1, 2):
        made.tables.append("retrainings", [row | numbers | {"attempt": attempt, "state": "promoted"}])
    run_id = made.registry.client.get_model_version("carded-too", "1").run_id
    made.registry.client.log_metric(run_id, "fairness/accuracy_difference/channel", 0.125)
    made.registry.client.log_metric(run_id, "another", 1.0)
    facts = gather(made.registry, made.tables, "1", START)
    assert [(ancestor.version, ancestor.rows) for ancestor in facts.ancestors] == [
        ("0", "it could not be found in the registry")
    ]
    assert [(step.state, step.challenger_quality) for step in facts.steps] == [("promoted", 0.75)]
    assert facts.fairness == {"accuracy_difference/channel": 0.125}
    assert facts.training["rows"] == 120
    card = log_card(made.registry, made.tables, "1", START)
    assert "| accuracy\\_difference/channel | 0.125 |" in card


def test_a_training_tag_that_somebody_wrote_by_hand_is_shown_and_breaks_nothing(deploy: Callable[..., Any]) -> None:
    made = deploy("carded-by-hand")
    for tag in ("<b>rows</b>", json.dumps(["rows"]), ""):
        made.registry.set_tags("1", {"pegel.training": tag})
        assert "<b>" not in log_card(made.registry, made.tables, "1", START)


def test_a_version_that_is_not_there_and_a_model_without_champion_are_said_in_one_sentence(
    settings_for: Callable[..., Any],
) -> None:
    settings = settings_for("nobody")
    with pytest.raises(SettingsError, match="'nobody' has no champion; name a version"):
        model_card.main(arguments_of(settings))
    with pytest.raises(OutsideError, match="version 7 of 'nobody'"):
        model_card.main(["--version", "7", *arguments_of(settings)])
