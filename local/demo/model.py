"""Which model the demo monitors: the text classifier, or a prompt behind the local Azure OpenAI resource. Pure."""

from typing import Any

from pegel.local.openai import Deployment, LocalOpenAi

TEXT_CLASSIFIER = "text_classifier"
OPENAI = "openai"
MODELS = (TEXT_CLASSIFIER, OPENAI)

PER_SECOND = {TEXT_CLASSIFIER: 60.0, OPENAI: 30.0}
"""Queries a second unless told otherwise: each one to a prompt is two requests, on this one machine."""

KEY = "PEGEL_OPENAI_API_KEY"
"""The environment variable with the key of the resource."""

_DEPLOYMENT = "intents"


def local_resource(model: str, key: str) -> LocalOpenAi | None:
    """The resource that the model needs, not started yet; None for a model that answers by itself."""
    return LocalOpenAi({_DEPLOYMENT: Deployment("local-learner-1")}, key) if model == OPENAI else None


def model_settings(resource: LocalOpenAi | None) -> dict[str, dict[str, Any]]:
    """The sections of the settings that say what is monitored."""
    if resource is None:
        return {}
    prompt = {"examples_per_label": 8, "max_prompt_characters": 85_000}
    asked = {"base_url": resource.base_url, "deployment": _DEPLOYMENT, "api_key": {"env": KEY}, "logprobs": True}
    return {"model": {"kind": "openai_prompt"}, "openai": asked | prompt}
