import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.lifecycle import registry as registry_module
from pegel.lifecycle import text_classifier
from pegel.lifecycle.baseline import known_grids
from pegel.lifecycle.clean_load import VersionRefusedError, check_loads_in_clean_process
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registration import Origin, register
from pegel.lifecycle.registry import Registry
from pegel.schemas import model_io
from pegel.schemas.partials import ANSWERED, ERRORS, tally_from_row
from pegel.streaming.statistics.counting import count
from pegel.tables.delta import DeltaTables

VALIDATION = [LabelledText(f"play song number{n}", "music") for n in range(40)]


def test_champion_has_its_grid_and_baseline_and_passed_its_validation(champion: Any) -> None:
    tags = champion.registry.tags("1")
    (baseline,) = champion.tables.read("baselines")
    (grid,) = known_grids(champion.tables, "shared")
    assert champion.registry.champion() == "1"
    assert champion.registry.previous() is None
    assert tags[model_io.TAG_VALIDATION] == model_io.VALIDATION_PASSED
    assert (tags[model_io.TAG_BASELINE], tags[model_io.TAG_GRID]) == (baseline["baseline_id"], grid.grid)
    assert (baseline["model"], baseline["version"], baseline["grid"]) == ("shared", "1", grid.grid)
    assert json.loads(tags[model_io.TAG_TRAINING])["rows"] == 120
    (move,) = champion.tables.read("promotions")
    assert (move["expected_version"], move["new_version"], move["reason"]) == ("", "1", "first")


def test_baseline_counts_the_versions_own_answers(champion: Any) -> None:
    """An independent count, from the model's frame by hand."""
    rows = [row.text for row in champion.validation]
    frame = champion.registry.load("1").model.predict(pd.DataFrame({"text": rows}))
    (baseline,) = champion.tables.read("baselines")
    tally = tally_from_row(baseline)
    (grid,) = known_grids(champion.tables, "shared")
    by_hand = count(
        {
            "input_length": [len(text) for text in rows],
            "confidence": [max(p.values()) for p in frame["probabilities"]],
            "known_word_share": [f["known_word_share"] for f in frame["features"]],
            "output": list(frame["output"]),
        },
        grid,
    )
    for column in ("input_length", "confidence", "known_word_share"):
        assert tally.cells[column] == by_hand.cells[column]
        assert tally.sums[column] == by_hand.sums[column]
    assert tally.categories["output"] == by_hand.categories["output"]
    assert tally.cells["latency_ms"].total() == len(rows)
    # None failed, and the baseline says that they were asked.
    assert (tally.counts[ERRORS], tally.counts[ANSWERED]) == (0, len(rows))


def test_training_rows_are_kept_with_the_version(champion: Any) -> None:
    kept = champion.registry.training_rows("1")
    assert len(kept) == 120
    assert {row.label for row in kept} == {"music", "alarm", "home"}


def test_version_of_a_retraining_is_registered_once(
    deploy: Callable[..., Any], champion: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deploy("registered-once")
    shared = champion.registry.client.get_model_version("shared", "1")
    trained: list[int] = []
    monkeypatch.setattr(text_classifier, "fit", lambda rows: trained.append(len(rows)))
    monkeypatch.setattr(text_classifier, "log_model", lambda *_, **__: shared.source)
    origin = Origin("test", json.dumps({"batch_id_max": 7}), "incident:1")
    versions = {register(made.registry, made.tables, VALIDATION, VALIDATION, origin).version for _ in range(2)}
    assert versions == {"2"}
    assert trained == [40]
    assert len(made.tables.read("baselines")) == 2
    assert made.registry.tags("2")[model_io.TAG_VALIDATION] == model_io.VALIDATION_PENDING


def test_version_that_was_not_validated_never_becomes_champion(deploy: Callable[..., Any], champion: Any) -> None:
    made = deploy("not-validated")
    shared = champion.registry.client.get_model_version("shared", "1")
    version = made.registry.register(shared.source, {model_io.TAG_VALIDATION: model_io.VALIDATION_PENDING})
    with pytest.raises(OutsideError, match="may not serve"):
        made.registry.move_champion(version, "1")
    assert made.registry.champion() == "1"


def test_clean_process_refuses_a_version_that_does_not_exist(champion: Any) -> None:
    with pytest.raises(VersionRefusedError, match="99"):
        check_loads_in_clean_process(champion.registry, "99", "play a song")


def test_registry_that_is_down_is_said_in_one_sentence(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "REQUEST_RETRIES", 0)
    settings = settings_for("shared", mlflow={"tracking_uri": "http://127.0.0.1:9"})
    good = settings_for("shared")
    try:
        registry = Registry(settings)
        with pytest.raises(OutsideError, match=r"MLflow failed at the alias 'champion'.*tracking_uri"):
            registry.champion()
    finally:
        Registry(good)  # one process has one tracking server: point it back


def test_tables_hold_the_baseline_before_the_alias_moves(
    deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    move = Registry.move_champion

    def watched(self: Registry, version: str, previous: str | None) -> None:
        tables = DeltaTables(self.settings.storage.root)
        seen.append(any(row["version"] == version for row in tables.read("baselines")))
        move(self, version, previous)

    monkeypatch.setattr(Registry, "move_champion", watched)
    deploy("order")
    assert seen == [True]
