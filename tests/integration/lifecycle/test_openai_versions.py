"""Versions that are prompts or fine-tuned deployments: registered, retrained and proven as any other is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from equipment.openai_resource import BASE_MODEL, DEPLOYMENT, KEY, KEY_VARIABLE, local_resource

from pegel.errors import OutsideError, SettingsError
from pegel.lifecycle.clean_load import check_loads_in_clean_process
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.onset import Onset
from pegel.lifecycle.retraining import Retraining
from pegel.local.openai import Fault, LocalOpenAi
from pegel.local.openai.local_openai import ACCOUNT
from pegel.schemas import model_io
from pegel.schemas.grids import MISSING_NAME
from pegel.schemas.partials import ANSWERED, ERRORS, tally_from_row
from pegel.schemas.state_machines import RetrainingState

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
SINCE = START + timedelta(seconds=200)
WORDS = {
    "music": ("play", "song", "album", "band"),
    "alarm": ("set", "timer", "clock", "wake"),
    "home": ("dim", "lights", "door", "heater"),
    "travel": ("book", "flight", "hotel", "train"),
}


def prompts_of(made: Any) -> list[str]:
    """The system messages in the registry, oldest first."""
    import mlflow

    name = f"{made.settings.model.name}_prompt"
    newest = mlflow.genai.load_prompt(f"prompts:/{name}@latest", link_to_model=False, cache_ttl_seconds=0)
    each = (
        mlflow.genai.load_prompt(f"prompts:/{name}/{n}", link_to_model=False, cache_ttl_seconds=0)
        for n in range(1, int(newest.version) + 1)
    )
    return [prompt.template[0]["content"] for prompt in each]


def text(label: str, n: int) -> LabelledText:
    words = WORDS[label]
    return LabelledText(f"{words[n % 4]} {words[(n // 4) % 4]} {words[(n // 16) % 4]} live{n}", label)


def feed(made: Any) -> None:
    """200 s of usual traffic, then 200 s in which every second text is of a class that the first prompt lacks."""
    usual = ("music", "alarm", "home")
    labels = ["travel" if n >= 200 and n % 2 else usual[n % 3] for n in range(400)]
    rows = [(START + timedelta(seconds=n), text(label, n)) for n, label in enumerate(labels)]
    made.live(rows[:200], 1)
    made.live(rows[200:], 2)
    for n in range(0, 190, 10):
        made.window("1", START + timedelta(seconds=n), 0.95)


def prove_on_wait(made: Any) -> None:
    """While somebody waits for the proof, the stream writes one window and one quiet block of the new version."""

    def stream() -> None:
        if "proving" in made.states():
            start = made.clock.now.replace(microsecond=0)
            start += timedelta(seconds=(-start.second) % 10)
            made.window("2", start, 0.95)
            made.block("2", start + timedelta(seconds=1))

    made.clock.on_wait = stream


def test_version_is_a_prompt_in_the_registry_with_a_baseline_of_what_the_deployment_says(
    prompted: Callable[..., Any],
) -> None:
    made = prompted("prompted")
    registered = made.register_champion()
    assert made.registry.champion() == "1"
    assert {answer.output for answer in registered.validation} == {"music", "alarm", "home"}
    (system,) = prompts_of(made)
    assert system.count('"label": "music"') == 5
    loaded = made.registry.load("1").model
    asked = pd.DataFrame({model_io.TEXT: ["play the song"]})
    row = loaded.predict(asked).iloc[0]
    assert row[model_io.EVENT_FIELDS]["prompt_version"] == "prompted_prompt/1"
    assert row[model_io.EVENT_FIELDS]["gen_ai.request.model"] == DEPLOYMENT
    *deltas, last = loaded.predict_stream(asked)
    assert "".join(delta["delta"] for delta in deltas) == last["answer"]["output"] == row["output"] == "music"
    (baseline,) = made.tables.read("baselines")
    assert dict(baseline["counts"])["events"] == 120
    (grid,) = made.tables.read("grids")
    assert {column["name"] for column in grid["columns"]} >= {"confidence", "known_label", "prompt_filter", "output"}
    tags = made.registry.tags("1")
    assert (tags[model_io.TAG_BASELINE], tags[model_io.TAG_GRID]) == (baseline["baseline_id"], grid["grid"])
    assert len(made.registry.training_rows("1")) == 120


def test_no_secret_is_in_what_is_logged(prompted: Callable[..., Any], tmp_path: Path) -> None:
    import mlflow

    made = prompted("no-secret")
    made.register_champion()
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/no-secret/1", dst_path=str(tmp_path)))
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert any(KEY_VARIABLE.encode() in file.read_bytes() for file in files)
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_retraining_makes_the_next_prompt_version_and_proves_it_by_the_same_gate(prompted: Callable[..., Any]) -> None:
    made = prompted("retrained")
    made.register_champion()
    feed(made)
    prove_on_wait(made)
    run = Retraining(made.settings, made.tables, made.registry, now=made.clock, sleep=made.clock.sleep)
    assert run.run(Onset("incident-1", SINCE, 100)) is RetrainingState.PROVEN
    assert made.moves() == [("", "1", "first"), ("1", "2", "promoted")]
    before, after = prompts_of(made)
    assert '"label": "travel"' not in before
    assert '"label": "travel"' in after
    (promoted,) = [row for row in made.tables.read("retrainings") if row["state"] == "promoted"]
    assert promoted["champion_quality"] == pytest.approx(0.5, abs=0.1)
    assert promoted["challenger_quality"] > 0.9
    answered = made.registry.load("2").answer(["book the flight"])[0]
    assert (answered.output, answered.event_fields["prompt_version"]) == ("travel", "retrained_prompt/2")
    assert len(made.registry.training_rows("2")) == 120 + 340


def test_prompt_that_is_the_newest_already_is_not_registered_again(prompted: Callable[..., Any]) -> None:
    made = prompted("same-prompt")
    made.register_champion()
    made.register_champion()
    assert len(prompts_of(made)) == 1
    assert made.registry.champion() == "2"


def test_outage_in_the_middle_of_a_registration_lets_nothing_serve(
    prompted: Callable[..., Any], resource: LocalOpenAi
) -> None:
    made = prompted("outage")
    resource.script(Fault(503))
    with pytest.raises(OutsideError, match=r"could not answer 1 of 120 texts.*start this again"):
        made.register_champion()
    assert made.registry.champion() is None
    assert not made.tables.exists("baselines")
    made.register_champion()
    assert made.registry.champion() == "2"


def test_text_that_the_filter_refuses_is_a_missing_output_in_the_baseline(prompted: Callable[..., Any]) -> None:
    made = prompted("filtered")
    made.validation = [*made.validation[:30], LabelledText("play a massacre", "music")]
    made.register_champion()
    (baseline,) = made.tables.read("baselines")
    tally = tally_from_row(baseline)
    assert tally.categories["output"][MISSING_NAME] == 1
    assert (tally.counts[ERRORS], tally.counts[ANSWERED]) == (1, 30)


@pytest.mark.parametrize("name", ["base_url", "deployment"])
def test_setting_that_a_prompt_needs_is_named(prompted: Callable[..., Any], name: str) -> None:
    made = prompted(f"no-{name}", **{name: ""})
    with pytest.raises(SettingsError, match=f"openai.{name}"):
        made.register_champion()


def test_clean_process_gets_the_key_and_tells_a_service_that_is_down_from_a_bad_version(
    prompted: Callable[..., Any],
) -> None:
    with local_resource() as server:
        made = prompted("clean", base_url=server.base_url)
        made.register_champion()
        check_loads_in_clean_process(made.registry, "1", "play a song")
        assert server.calls[-1].status == 200
    with pytest.raises(OutsideError, match=r"could not be tried.*cannot be reached"):
        check_loads_in_clean_process(made.registry, "1", "play a song")


def test_fine_tuned_version_is_trained_deployed_and_registered(
    prompted: Callable[..., Any], resource: LocalOpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{resource.host}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", resource.identity.header)
    subscription, group, account = ACCOUNT.split("/")
    tuning = {"base_model": BASE_MODEL, "poll_seconds": 0.01, "management_url": resource.host, "account": account}
    tuning |= {"subscription": subscription, "resource_group": group, "deployment": "intents-{model}"}
    made = prompted("tuned", kind="openai_fine_tuned", fine_tuning=tuning, deployment="")
    registered = made.register_champion()
    assert made.registry.champion() == "1"
    right = [a.output == row.label for a, row in zip(registered.validation, made.validation, strict=True)]
    assert sum(right) == len(right)
    fields = registered.validation[0].event_fields
    assert fields["gen_ai.request.model"].startswith("intents-")
    assert fields["gen_ai.response.model"].startswith(f"{BASE_MODEL}.ft-")
    assert fields["prompt_version"].startswith("fine-tuned/")
    trained = [call for call in resource.calls if (call.method, call.path) == ("POST", "/openai/v1/fine_tuning/jobs")]
    made.register_champion()
    again = [call for call in resource.calls if (call.method, call.path) == ("POST", "/openai/v1/fine_tuning/jobs")]
    assert len(again) == len(trained)


def test_fine_tuned_model_that_nobody_deploys_is_said_by_name(prompted: Callable[..., Any]) -> None:
    tuning: dict[str, Any] = {"base_model": BASE_MODEL, "poll_seconds": 0.01}
    made = prompted("undeployed", kind="openai_fine_tuned", fine_tuning=tuning)
    with pytest.raises(SettingsError, match=rf"{BASE_MODEL}\.ft-.*openai\.fine_tuning\.deployment"):
        made.register_champion()
    by_hand = prompted("by-hand", kind="openai_fine_tuned", fine_tuning=tuning | {"deployment": "mine-{model}"})
    with pytest.raises(OutsideError, match=r"no deployment 'mine-[0-9a-f]{8}'"):
        by_hand.register_champion()
