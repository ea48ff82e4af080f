"""What every model behind Azure OpenAI shares: its configuration without a secret, its files, its columns. Edge."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pegel.conf.openai_settings import OpenAiSettings
from pegel.errors import SettingsError
from pegel.lifecycle.adapter import CONFIDENCE, INPUT_LENGTH, INPUT_WORDS, LATENCY, OUTPUT
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.model_logging import log_version
from pegel.lifecycle.prompt import Prompt
from pegel.schemas.grids import CATEGORICAL, GridColumn

WATCHED = (
    INPUT_LENGTH,
    INPUT_WORDS,
    OUTPUT,
    GridColumn("known_label", CATEGORICAL, "features.known_label"),
    GridColumn("finish_reason", CATEGORICAL, "features.finish_reason"),
    GridColumn("prompt_filter", CATEGORICAL, "features.prompt_filter"),
    GridColumn("completion_filter", CATEGORICAL, "features.completion_filter"),
    LATENCY,
)
"""The columns that such a model is watched by."""

CODE = "openai_model_code.py"
PROMPT_FILE = "prompt.json"
PACKAGES = ("mlflow", "openai", "azure-identity", "tenacity", "pandas")


def watched_columns(settings: OpenAiSettings) -> tuple[GridColumn, ...]:
    """The watched columns of a model behind Azure OpenAI; the confidence if the deployment gives probabilities."""
    return (*WATCHED, CONFIDENCE) if settings.logprobs else WATCHED


def require(settings: OpenAiSettings, *names: str) -> None:
    """See that settings of the section ``openai`` are given.

    Raises:
        SettingsError: if one of them is empty.
    """
    missing = [name for name in names if not _value(settings, name)]
    if missing:
        msg = f"model.kind needs the setting openai.{missing[0]}, which is empty; give it in the file of --config"
        raise SettingsError(msg)


def model_config(settings: OpenAiSettings, deployment: str, prompt_version: str) -> dict[str, Any]:
    """What the logged model is told: where a secret lies, never the secret, since all who may load it can read this."""
    return {
        "base_url": settings.base_url,
        "deployment": deployment,
        "api_key": settings.api_key.model_dump(exclude_none=True),
        "entra": settings.entra,
        "prompt_version": prompt_version,
        "timeout_seconds": settings.timeout_seconds,
        "max_retries": settings.max_retries,
        "max_retry_wait_seconds": settings.max_retry_wait_seconds,
        "concurrency": settings.concurrency,
        "max_output_tokens": settings.max_output_tokens,
        "temperature": settings.temperature,
        "logprobs": settings.logprobs,
    }


def log_openai_model(
    prompt: Prompt,
    config: Mapping[str, Any],
    rows: Sequence[LabelledText],
    *,
    experiment_id: str,
    run_name: str,
    prompts: Sequence[str] = (),
) -> str:
    """Log one model; the prompt's text is a file of it.

    It is no part of the configuration, since MLflow writes that down as parameters too and cuts them at 6,000
    characters.

    Returns:
        the URI of the logged model.
    """
    with tempfile.TemporaryDirectory(prefix="pegel-prompt-") as folder:
        file = Path(folder) / PROMPT_FILE
        file.write_text(json.dumps({"system": prompt.system, "labels": prompt.labels}), encoding="utf-8")
        return log_version(
            CODE,
            rows,
            experiment_id=experiment_id,
            run_name=run_name,
            packages=PACKAGES,
            artifacts={"prompt": str(file)},
            params={
                "training_rows": len(rows),
                "classes": len(prompt.labels),
                "prompt_examples": len(prompt.examples),
                "prompt_characters": len(prompt.system),
            },
            config=config,
            prompts=prompts,
        )


def _value(settings: OpenAiSettings, name: str) -> Any:
    found: Any = settings
    for step in name.split("."):
        found = getattr(found, step)
    return found
