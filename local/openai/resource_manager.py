"""The neighbours of the resource: Azure Resource Manager for deployments, the identity endpoint for tokens. Pure.

The identity endpoint is that of App Service (``IDENTITY_ENDPOINT``), which ``azure.identity`` asks for a token.
"""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pegel.local.openai.faults import ApiError

API_VERSIONS = frozenset({"2024-10-01", "2024-10-21"})
MANAGEMENT = "https://management.azure.com"
DATA = "https://ai.azure.com"
TOKEN_SECONDS = 3600
LOOKS_UNTIL_READY = 2

_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[\w-]+)/resourceGroups/(?P<group>[\w.()-]+)"
    r"/providers/Microsoft\.CognitiveServices/accounts/(?P<account>[\w-]+)/deployments/(?P<deployment>[\w.-]+)",
    re.ASCII,
)


@dataclass(slots=True)
class Identity:
    """Gives tokens to who knows the header, as the endpoint inside a machine of Azure does."""

    header: str
    _issued: dict[str, tuple[str, float]] = field(default_factory=dict)

    def issue(self, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
        """A token for ``resource``.

        Raises:
            ApiError: 400 or 401, as the endpoint refuses.
        """
        if headers.get("x-identity-header") != self.header:
            raise ApiError(401, {"code": "Unauthorized", "message": "The identity header is wrong."})
        resource = query.get("resource", "")
        if query.get("api-version") != "2019-08-01" or resource not in (DATA, MANAGEMENT):
            raise ApiError(400, {"code": "BadRequest", "message": f"No token for the resource {resource!r}."})
        token, expires = secrets.token_urlsafe(24), time.time() + TOKEN_SECONDS
        self._issued[token] = (resource, expires)
        return {"access_token": token, "expires_on": str(int(expires)), "resource": resource, "token_type": "Bearer"}

    def is_for(self, token: str, resource: str) -> bool:
        """Whether this token was given for the resource and still holds."""
        given, expires = self._issued.get(token, ("", 0.0))
        return given == resource and time.time() < expires


@dataclass(slots=True)
class _Made:
    body: dict[str, Any]
    looks: int = 0


@dataclass(slots=True)
class ResourceManager:
    """The deployments of one account.

    Attributes:
        account: ``subscription/resource group/account``.
        ready: deployment -> model, once it is provisioned.
    """

    account: str
    ready: dict[str, str] = field(default_factory=dict)
    _made: dict[str, _Made] = field(default_factory=dict)

    def put(self, path: str, query: Mapping[str, str], body: Any, models: frozenset[str]) -> tuple[int, dict[str, Any]]:
        """Make or change a deployment.

        Args:
            path: of the request.
            query: must name an API version.
            body: the sku and the model.
            models: those that can be deployed.

        Raises:
            ApiError: 400 or 404.
        """
        name = self._name(path, query)
        match body:
            case {
                "sku": {"name": str(sku), "capacity": int(capacity)},
                "properties": {"model": {"format": "OpenAI", "name": str(model), "version": str(version)}},
            } if sku and capacity > 0 and version:
                pass
            case _:
                raise ApiError(400, {"code": "InvalidRequestContent", "message": "The request content was invalid."})
        if model not in models:
            said = f"The model 'Format: OpenAI, Name: {model}, Version: {version}' is not available."
            raise ApiError(400, {"code": "DeploymentModelNotSupported", "message": said})
        status = 200 if name in self._made else 201
        self._made[name] = _Made(
            {"name": name, "sku": body["sku"], "properties": {"model": body["properties"]["model"]}}
        )
        return status, self._shown(name)

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Look at a deployment; after some looks it is provisioned.

        Raises:
            ApiError: 404, if there is none.
        """
        name = self._name(path, query)
        if name not in self._made:
            raise ApiError(404, {"code": "ResourceNotFound", "message": f"The deployment {name!r} was not found."})
        self._made[name].looks += 1
        return self._shown(name)

    def _shown(self, name: str) -> dict[str, Any]:
        made = self._made[name]
        done = made.looks >= LOOKS_UNTIL_READY
        if done:
            self.ready[name] = made.body["properties"]["model"]["name"]
        state = "Succeeded" if done else "Creating"
        return made.body | {"properties": made.body["properties"] | {"provisioningState": state}}

    def _name(self, path: str, query: Mapping[str, str]) -> str:
        found = _PATH.fullmatch(path)
        if found is None or f"{found['subscription']}/{found['group']}/{found['account']}" != self.account:
            raise ApiError(404, {"code": "ResourceNotFound", "message": f"The resource {path!r} was not found."})
        if query.get("api-version") not in API_VERSIONS:
            said = f"The api-version {query.get('api-version', '')!r} is invalid."
            raise ApiError(400, {"code": "InvalidApiVersionParameter", "message": said})
        return str(found["deployment"])
