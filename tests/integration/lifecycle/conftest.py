"""One MLflow store and one trained model for all tests here, and tables as the stream would have written them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from equipment.openai_resource import KEY, KEY_VARIABLE, local_resource, openai_settings

from pegel.conf.settings import Settings
from pegel.lifecycle import registration, retraining, text_classifier
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.registration import RegisteredVersion, register_first
from pegel.lifecycle.registry import Registry
from pegel.local.openai import LocalOpenAi
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, 3, tzinfo=UTC)
ONSET = START + timedelta(seconds=200)

USUAL = {
    "music": ("play", "song", "album", "band"),
    "alarm": ("set", "timer", "clock", "wake"),
    "home": ("dim", "lights", "door", "heater"),
}
NOVEL = {"travel": ("book", "flight", "hotel", "train")}


def text_of(words: tuple[str, ...], number: int) -> str:
    """A text of its own for each number; its words say the class."""
    return f"{words[number % 4]} {words[(number // 4) % 4]} {words[(number // 16) % 4]} number{number}"


def texts(kinds: dict[str, tuple[str, ...]], numbers: range) -> list[LabelledText]:
    return [LabelledText(text_of(words, n), label) for n in numbers for label, words in kinds.items()]


TRAINING = texts(USUAL, range(40))
VALIDATION = texts(USUAL, range(40, 80))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the MLflow store, its name with a space; creating its tables takes seconds, so there is one."""
    return tmp_path_factory.mktemp("mlflow store")


@pytest.fixture(scope="session")
def settings_for(store: Path) -> Callable[..., Settings]:
    """Settings for a model of its own in the one store, with tables of its own."""

    def make(model: str, /, **sections: dict[str, Any]) -> Settings:
        content = {
            "storage": {"root": str(store / model / "tables")},
            "mlflow": {"tracking_uri": f"sqlite:///{store}/mlflow.db"},
            "model": {"name": model},
            "serving": {"poll_seconds": 0.05, "spool": str(store / model / "spool"), "flush_seconds": 0.02},
            "retrain": {
                "min_rows_after_drift": 100,
                "min_labelled_rows": 100,
                "wait_for_labels_seconds": 60,
                "proof_windows": 2,
                "proof_timeout_seconds": 300,
                "poll_seconds": 10,
            },
        }
        for section, change in sections.items():
            content[section] = {**content.get(section, {}), **change}
        return Settings.model_validate(content)

    return make


@dataclass
class Clock:
    """A clock that moves when somebody waits; what is due happens while they do.

    Each look at it is a microsecond later than the one before, so that rows can be put into the order they came in.
    """

    now: datetime = START + timedelta(seconds=400)
    looks: int = 0
    waits: int = 0
    on_wait: Callable[[], None] = field(default=lambda: None)

    def __call__(self) -> datetime:
        self.looks += 1
        return self.now + timedelta(microseconds=self.looks)

    def sleep(self, seconds: float) -> None:
        self.waits += 1
        assert self.waits < 1000
        self.now += timedelta(seconds=seconds)
        self.on_wait()


@dataclass
class Deployment:
    """A model with its tables, registry and clock."""

    settings: Settings
    tables: DeltaTables
    registry: Registry
    clock: Clock = field(default_factory=Clock)
    validation: list[LabelledText] = field(default_factory=lambda: VALIDATION)

    def register_champion(self) -> RegisteredVersion:
        return register_first(
            self.registry, self.tables, TRAINING, self.validation, source="test", alias_champion=True, now=lambda: START
        )

    def live(
        self,
        rows: list[tuple[datetime, LabelledText]],
        batch_id: int,
        *,
        labelled: bool = True,
        segments: Sequence[dict[str, str]] = (),
    ) -> None:
        """Append predictions, their labels and the commit mark, as one micro-batch."""
        source = {"partition": "0", "hub": "predictions"}
        predictions = [
            {
                "event_id": f"b{batch_id}-{n}",
                "event_time": at,
                "batch_id": batch_id,
                "model": self.settings.model.name,
                "version": "1",
                "input": row.text,
                "output": "music",
                "segments": segments[n] if segments else None,
                "offset": n,
                "enqueued_time": at,
                **source,
            }
            for n, (at, row) in enumerate(rows)
        ]
        feedback = [
            {
                "feedback_id": f"f{batch_id}-{n}",
                "event_id": f"b{batch_id}-{n}",
                "prediction_time": at,
                "feedback_time": at + timedelta(seconds=20),
                "batch_id": batch_id,
                "kind": "label",
                "label": row.label,
                "offset": n,
                "enqueued_time": at,
                **source,
            }
            for n, (at, row) in enumerate(rows)
        ]
        self.tables.append("predictions", predictions, ("q/predictions", batch_id))
        if labelled:
            self.tables.append("feedback", feedback, ("q/feedback", batch_id))
        counts = dict.fromkeys(("received", "stored", "dead_letters", "duplicates"), 0)
        zeros = counts | {f"feedback_{name}": 0 for name in counts} | {"in_partials": 0}
        mark = {"query_id": "q", "batch_id": batch_id, "generation": 0, "offsets": []} | zeros
        self.tables.append("batches", [mark], ("q/batches", batch_id))

    def window(self, version: str, start: datetime, accuracy: float | None, completeness: float = 1.0) -> None:
        """Append the accuracy of one final window."""
        self.tables.append(
            "metrics",
            [
                {
                    "model": self.settings.model.name,
                    "version": version,
                    "segment": "*",
                    "column": "",
                    "metric": "accuracy",
                    "window_start": start,
                    "window_s": self.settings.ingest.window_seconds,
                    "baseline_id": "",
                    "revision": 1,
                    "batch_id": 1,
                    "value": accuracy,
                    "n": 50,
                    "label_completeness": completeness,
                }
            ],
        )

    def block(self, version: str, at: datetime, *, effect: float = 0.0) -> None:
        """Append one block that rang with this effect, or did not if it is 0."""
        verdict = {"column": "confidence", "rang": effect > 0, "calibrated": False, "lag": 1, "n": 100}
        verdict |= {"statistic": 1.0, "threshold": 2.0, "p_value": 0.5, "effect": effect, "direction": "location"}
        numbers = {"block_no": 0, "batch_id": 1, "first_batch_id": 1, "last_batch_id": 1, "n": 100}
        names = {"model": self.settings.model.name, "version": version, "segment": "*", "grid": "g"}
        self.tables.append("blocks", [names | numbers | {"last_enqueued": at, "verdicts": [verdict], "state": "{}"}])

    def states(self) -> list[str]:
        """The states of all attempts, in the order they were reached in."""
        return [row["state"] for row in self.tables.read("retrainings", "SELECT state FROM t ORDER BY at")]

    def moves(self) -> list[tuple[str, str, str]]:
        """The moves of the champion, oldest first: from, to, why."""
        rows = self.tables.read("promotions", "SELECT * FROM t ORDER BY at")
        return [(row["expected_version"], row["new_version"], row["reason"]) for row in rows]


@pytest.fixture(scope="session")
def champion(settings_for: Callable[..., Settings]) -> Deployment:
    """The one version that is trained for all tests that only read it: model ``shared``, version 1, champion."""
    deployment = deployment_of(settings_for("shared"))
    deployment.register_champion()
    return deployment


def deployment_of(settings: Settings) -> Deployment:
    return Deployment(settings, DeltaTables(settings.storage.root), Registry(settings))


@pytest.fixture
def undeployed(settings_for: Callable[..., Settings]) -> Callable[..., Deployment]:
    """A model of its own that has no version yet."""
    return lambda model, /, **sections: deployment_of(settings_for(model, **sections))


@pytest.fixture
def deploy(
    settings_for: Callable[..., Settings], champion: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Deployment]:
    """A deployment with a champion of its own, which shares the logged model of :func:`champion`."""
    shared = champion.registry.client.get_model_version(champion.settings.model.name, "1")

    def make(model: str, **sections: dict[str, Any]) -> Deployment:
        made = deployment_of(settings_for(model, **sections))
        with monkeypatch.context() as patch:
            patch.setattr(text_classifier, "fit", lambda rows: rows)
            patch.setattr(text_classifier, "log_model", lambda *_, **__: shared.source)
            patch.setattr(registration, "check_loads_in_clean_process", lambda *_: None)
            made.register_champion()
        return made

    return make


@pytest.fixture(scope="module")
def resource() -> Iterator[LocalOpenAi]:
    with local_resource() as server:
        yield server


@pytest.fixture
def prompted(
    resource: LocalOpenAi, undeployed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """A model whose versions are prompts; the clean process, which takes seconds, has a test of its own."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    for module in (registration, retraining):
        monkeypatch.setattr(module, "check_loads_in_clean_process", lambda *_: None)

    def make(name: str, *, kind: str = "openai_prompt", **change: Any) -> Any:
        openai = openai_settings(resource, **change).model_dump()
        return undeployed(name, model={"name": name, "kind": kind}, openai=openai)

    return make
