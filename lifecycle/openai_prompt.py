"""The adapter for prompts: labelled rows → the next version in MLflow's prompt registry → a model from code. Edge."""

import logging
from collections.abc import Sequence
from typing import Any

from pegel.conf.settings import Settings
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.openai_model import log_openai_model, model_config, require, watched_columns
from pegel.lifecycle.prompt import Prompt, build_prompt
from pegel.lifecycle.registry import asking
from pegel.schemas.grids import GridColumn
from pegel.schemas.model_io import Answer

log = logging.getLogger(__name__)


class OpenAiPromptAdapter:
    """See :class:`~pegel.lifecycle.adapter.ModelAdapter`. Nothing is trained: a version is a prompt.

    Args:
        settings: the deployment, and how a prompt is made.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def make(self, rows: Sequence[LabelledText], *, experiment_id: str, run_name: str) -> str:
        """Register the prompt of these rows, then log the model that asks it."""
        openai = self._settings.openai
        require(openai, "base_url", "deployment")
        prompt = build_prompt(
            rows,
            openai.instructions,
            examples_per_label=openai.examples_per_label,
            max_characters=openai.max_prompt_characters,
        )
        name = prompt_name(self._settings.model.name)
        with asking(f"the prompt {name!r}"):
            registered = _register(name, prompt, run_name)
        log.info("prompt %s/%s has %d examples", name, registered.version, len(prompt.examples))
        return log_openai_model(
            prompt,
            model_config(openai, openai.deployment, f"{name}/{registered.version}"),
            rows,
            experiment_id=experiment_id,
            run_name=run_name,
            prompts=[registered.uri],
        )

    def watched(self, answers: Sequence[Answer]) -> tuple[GridColumn, ...]:
        """By the settings."""
        del answers
        return watched_columns(self._settings.openai)


def prompt_name(model: str) -> str:
    """The name of a model's prompt in the registry, where prompts and models may not share one.

    Example:
        >>> prompt_name("main.default.assistant")
        'main.default.assistant_prompt'
    """
    return f"{model}_prompt"


def _register(name: str, prompt: Prompt, why: str) -> Any:
    """The newest version if it is this very prompt, as after a crash, else the next one."""
    import mlflow

    template = [{"role": "system", "content": prompt.system}, {"role": "user", "content": "{{text}}"}]
    # A registry that does not know "latest" gives none, and then a version is registered twice rather than never.
    newest = mlflow.genai.load_prompt(
        f"prompts:/{name}@latest", allow_missing=True, link_to_model=False, cache_ttl_seconds=0
    )
    if newest is not None and newest.template == template:
        return newest
    return mlflow.genai.register_prompt(name, template, commit_message=why)
