"""The adapter for fine-tuning: labelled rows → a fine-tuned model → its deployment → a model from code. Edge."""

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from pegel.conf.openai_settings import OpenAiSettings
from pegel.conf.settings import Settings
from pegel.errors import OutsideError, SettingsError
from pegel.lifecycle.fine_tuning import FineTuning, training_file
from pegel.lifecycle.labelled_text import LabelledText
from pegel.lifecycle.openai_deployment import SCOPE as MANAGEMENT_SCOPE
from pegel.lifecycle.openai_deployment import Deployments
from pegel.lifecycle.openai_model import log_openai_model, model_config, require, watched_columns
from pegel.lifecycle.prompt import build_prompt
from pegel.schemas.grids import GridColumn
from pegel.schemas.model_io import Answer

SCOPE = "https://ai.azure.com/.default"
REQUEST_SECONDS = 60.0

log = logging.getLogger(__name__)


class OpenAiFineTunedAdapter:
    """See :class:`~pegel.lifecycle.adapter.ModelAdapter`. The prompt has instructions and labels, the rest is learned.

    Each fine-tuned model has a deployment of its own, so that a version that is rolled back to still answers.

    Args:
        settings: base model, resource and deployment.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def make(self, rows: Sequence[LabelledText], *, experiment_id: str, run_name: str) -> str:
        """Train, deploy and log.

        Raises:
            SettingsError: if a setting is missing, or the model is trained and no deployment of it is named.
            FineTuningFailedError: if the service does not make a model of the rows.
            OutsideError: if something is down or takes too long; run it again, and it goes on where it was.
        """
        openai = self._settings.openai
        require(openai, "base_url", "fine_tuning.base_model")
        prompt = build_prompt(
            rows, openai.instructions, examples_per_label=0, max_characters=openai.max_prompt_characters
        )
        content = training_file(rows, prompt.system)
        digest = hashlib.sha256(content).hexdigest()[:16]
        with _client(openai) as client:
            training = FineTuning(client, openai.fine_tuning)
            made = training.train(content, f"pegel-{digest}.jsonl", _suffix(self._settings.model.name))
        deployment = self._deploy(made.model)
        return log_openai_model(
            prompt,
            model_config(openai, deployment, f"fine-tuned/{digest}"),
            rows,
            experiment_id=experiment_id,
            run_name=run_name,
        )

    def watched(self, answers: Sequence[Answer]) -> tuple[GridColumn, ...]:
        """By the settings."""
        del answers
        return watched_columns(self._settings.openai)

    def _deploy(self, model: str) -> str:
        import httpx

        tuning = self._settings.openai.fine_tuning
        if not tuning.deployment:
            msg = (
                f"the fine-tuned model {model!r} is ready and nothing says how its deployment is called: give "
                "openai.fine_tuning.deployment, such as intents-{model}, and who deploys it, and run this again"
            )
            raise SettingsError(msg)
        named = tuning.model_copy(update={"deployment": deployment_name(tuning.deployment, model)})
        if not named.subscription:
            log.info("the deployment %s of %s must be made by hand", named.deployment, model)
            return named.deployment
        with httpx.Client(timeout=REQUEST_SECONDS) as client:
            return Deployments(named, _management_token(self._settings.openai), client).deploy(model)


def deployment_name(template: str, model: str) -> str:
    """The name of the deployment for a model.

    Example:
        >>> deployment_name("intents-{model}", "base.ft-1")
        'intents-c9a73daa'
    """
    return template.replace("{model}", hashlib.sha256(model.encode()).hexdigest()[:8])


def _suffix(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)[:18].strip("-") or "pegel"


def _client(settings: OpenAiSettings) -> Any:
    import openai

    key: str | Callable[[], str] = _token_for(SCOPE) if settings.entra else settings.api_key.read
    return openai.OpenAI(base_url=settings.base_url, api_key=key, timeout=REQUEST_SECONDS)


def _management_token(settings: OpenAiSettings) -> Callable[[], str]:
    given = settings.fine_tuning.management_token
    return given.read if given is not None else _token_for(MANAGEMENT_SCOPE)


def _token_for(scope: str) -> Callable[[], str]:
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential, get_bearer_token_provider

    provider = get_bearer_token_provider(DefaultAzureCredential(), scope)

    def token() -> str:
        try:
            return provider()
        except AzureError as error:
            msg = f"no credential gives a token for {scope}: {type(error).__name__}; sign in or set up the identity"
            raise OutsideError(msg) from error

    return token
