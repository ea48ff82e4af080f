"""Deploy a fine-tuned model by Azure Resource Manager: one PUT, then look until it is there. Edge."""

import logging
import time
from collections.abc import Callable
from typing import Any

import httpx

from pegel.conf.openai_settings import FineTuningSettings
from pegel.errors import OutsideError

log = logging.getLogger(__name__)

API_VERSION = "2024-10-01"
SCOPE = "https://management.azure.com/.default"
SUCCEEDED = "Succeeded"
LOST = frozenset({"Failed", "Canceled", "Deleting"})
MODEL_VERSION = "1"
"""A fine-tuned model has this one version."""


class Deployments:
    """The deployments of the account in the settings.

    Args:
        settings: subscription, resource group, account, sku, and how long to wait.
        token: gives a bearer token for Azure Resource Manager; the right ``…/deployments/write`` is needed.
        client: does the requests.
        clock: seconds, to measure the patience with.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        settings: FineTuningSettings,
        token: Callable[[], str],
        client: httpx.Client,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._token = token
        self._client = client
        self._clock = clock
        self._sleep = sleep

    def deploy(self, model: str) -> str:
        """Let the deployment of the settings run this model. The same PUT again changes nothing.

        Args:
            model: the fine-tuned model's name.

        Returns:
            the deployment's name.

        Raises:
            OutsideError: if Resource Manager refuses, is down, or has not provisioned it in time.
        """
        settings = self._settings
        body = {
            "sku": {"name": settings.sku, "capacity": settings.capacity},
            "properties": {"model": {"format": "OpenAI", "name": model, "version": MODEL_VERSION}},
        }
        deadline = self._clock() + settings.timeout_seconds
        state = self._ask("PUT", body)
        while state != SUCCEEDED:
            if state in LOST:
                msg = f"the deployment {settings.deployment!r} of {model!r} is {state}; its activity log says why"
                raise OutsideError(msg)
            if self._clock() >= deadline:
                msg = (
                    f"the deployment {settings.deployment!r} is still {state!r} after {settings.timeout_seconds:.0f} s"
                )
                raise OutsideError(msg)
            self._sleep(settings.poll_seconds)
            state = self._ask("GET")
        log.info("the deployment %s runs %s", settings.deployment, model)
        return settings.deployment

    def _ask(self, method: str, body: Any = None) -> str:
        settings = self._settings
        url = (
            f"{settings.management_url}/subscriptions/{settings.subscription}/resourceGroups/{settings.resource_group}"
            f"/providers/Microsoft.CognitiveServices/accounts/{settings.account}/deployments/{settings.deployment}"
        )
        try:
            answer = self._client.request(
                method, url, params={"api-version": API_VERSION}, json=body,
                headers={"Authorization": f"Bearer {self._token()}"},
            )  # fmt: skip
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            msg = f"Azure Resource Manager cannot be asked for {settings.deployment!r}: {type(error).__name__}"
            raise OutsideError(msg) from error
        if answer.is_error:
            said = found.get("error", {}).get("message") if isinstance(found, dict) else None
            msg = (
                f"Azure Resource Manager answers {answer.status_code} for the deployment {settings.deployment!r}: "
                f"{said or 'no reason'}; check openai.fine_tuning and the rights of who runs this"
            )
            raise OutsideError(msg)
        return str(found.get("properties", {}).get("provisioningState", "unknown"))
