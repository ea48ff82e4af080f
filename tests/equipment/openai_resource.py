"""A local Azure OpenAI resource for tests, and the logged model as it is without MLflow around it."""

import json
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pegel.conf.openai_settings import OpenAiSettings
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.openai_model import model_config
from pegel.lifecycle.prompt import build_prompt
from pegel.local.openai import Deployment, LocalOpenAi

KEY = "the-key-of-this-test"
KEY_VARIABLE = "PEGEL_TEST_OPENAI_KEY"
DEPLOYMENT = "intents"
LIMITED = "intents-limited"
BESIDE = "intents-filtered-beside"
BASE_MODEL = "local-base-2026"
MODEL = "local-model-2026"

EXAMPLES = [
    LabelledText(text, label)
    for label, texts in {
        "music": ("play a song", "start the album", "next track please"),
        "alarm": ("set an alarm", "wake me at seven", "start a timer"),
        "home": ("dim the lights", "close the door", "turn the heater on"),
    }.items()
    for text in texts
]


@contextmanager
def local_resource(**options: Any) -> Iterator[LocalOpenAi]:
    """A resource that runs: a usual deployment, one with 2 requests a minute, one whose filters run beside streams."""
    deployments = {
        DEPLOYMENT: Deployment(MODEL),
        LIMITED: Deployment(MODEL, requests_per_minute=2),
        BESIDE: Deployment(MODEL, filters_beside=True),
    }
    server = LocalOpenAi(deployments, KEY, base_models=[BASE_MODEL], **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def openai_settings(server: LocalOpenAi, **change: Any) -> OpenAiSettings:
    """Settings for the resource; nobody waits long."""
    given = {
        "base_url": server.base_url,
        "deployment": DEPLOYMENT,
        "api_key": {"env": KEY_VARIABLE},
        "timeout_seconds": 10,
        "max_retries": 0,
        "logprobs": True,
    }
    return OpenAiSettings.model_validate({**given, **change})


def model_of(server: LocalOpenAi, folder: Path, rows: list[LabelledText] = EXAMPLES, **change: Any) -> Any:
    """The model code, loaded as MLflow loads it."""
    from pegel.lifecycle.openai_model_code import OpenAiPrompt

    settings = openai_settings(server, **change)
    prompt = build_prompt(rows, settings.instructions, examples_per_label=3, max_characters=5000)
    file = folder / "prompt.json"
    file.write_text(json.dumps({"system": prompt.system, "labels": prompt.labels}), encoding="utf-8")
    model = OpenAiPrompt()
    config = model_config(settings, settings.deployment, "assistant_prompt/1")
    model.load_context(types.SimpleNamespace(artifacts={"prompt": str(file)}, model_config=config))
    return model
