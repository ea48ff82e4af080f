"""The settings for models behind Azure OpenAI. Pure."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pegel.conf.secret_ref import SecretRef
from pegel.conf.section import Section

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class FineTuningSettings(Section):
    """How a deployment is fine-tuned: the base model, and the resource that gets the deployment.

    Without ``subscription`` nothing is deployed: then a person makes the deployment, named as the job's log says.
    """

    base_model: str = ""
    """The model that is trained on; which ones can be is decided by region and date, so there is no default."""
    epochs: int | None = Field(default=None, gt=0)
    training_type: Literal["Standard", "GlobalStandard", "developerTier"] = "Standard"
    timeout_seconds: float = Field(default=6 * 3600.0, gt=0)
    poll_seconds: float = Field(default=15.0, gt=0)
    deployment: str = ""
    """How the deployment of a fine-tuned model is called: ``{model}`` in it stands for a short hash of the model."""
    management_url: str = "https://management.azure.com"
    management_token: SecretRef | None = None
    """A bearer token to use as it is; without it ``DefaultAzureCredential`` asks for one."""
    subscription: str = ""
    resource_group: str = ""
    account: str = ""
    sku: str = "standard"
    capacity: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _whole_resource(self) -> "FineTuningSettings":
        parts = (self.subscription, self.resource_group, self.account)
        if any(parts) and not all((*parts, self.deployment)):
            msg = "to deploy, give subscription, resource_group, account and deployment, or none of the first three"
            raise ValueError(msg)
        if self.deployment and "{model}" not in self.deployment:
            msg = (
                f"openai.fine_tuning.deployment {self.deployment!r} must hold {{model}}: each fine-tuned model needs a "
                "deployment of its own, or an older version would not answer any more"
            )
            raise ValueError(msg)
        return self


class OpenAiSettings(Section):
    """Azure OpenAI by its v1 route: resource and deployment, how to sign in, how patient to be, what a prompt is."""

    base_url: str = ""
    """``https://RESOURCE.openai.azure.com/openai/v1/``."""
    deployment: str = ""
    """The name of the deployment, which is what the API calls the model; no default assumes one."""
    api_key: SecretRef = SecretRef(env="PEGEL_OPENAI_API_KEY")
    entra: bool = False
    """Sign in by ``DefaultAzureCredential`` instead of a key."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    max_retries: int = Field(default=2, ge=0)
    max_retry_wait_seconds: float = Field(default=5.0, ge=0)
    """So long is waited for another try; a longer Retry-After is handed on to the caller."""
    concurrency: int = Field(default=8, gt=0)
    """So many texts of one batch are asked at the same time."""
    max_output_tokens: int = Field(default=64, gt=0)
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """None for models that refuse it."""
    logprobs: bool = False
    """Whether to ask for the probability of the answer, which becomes its confidence; reasoning models refuse it."""
    instructions: str = "Classify the user's text."
    examples_per_label: int = Field(default=5, ge=0)
    max_prompt_characters: int = Field(default=60_000, gt=0, le=90_000)
    """The registry takes no prompt of more than 100,000."""
    fine_tuning: FineTuningSettings = FineTuningSettings()

    @model_validator(mode="after")
    def _no_key_in_the_clear(self) -> "OpenAiSettings":
        urls = {"openai.base_url": self.base_url, "openai.fine_tuning.management_url": self.fine_tuning.management_url}
        for name, given in urls.items():
            url = urlsplit(given)
            if given and url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
                msg = f"{name} {given!r} must begin with https://, since a key or token is sent there"
                raise ValueError(msg)
        return self
