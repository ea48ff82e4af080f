"""The Databricks workspace, as the SDK asks it: who asks, and how patiently. Edge."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from databricks.sdk.config import Config
from databricks.sdk.credentials_provider import CredentialsStrategy

from pegel.conf.settings import DatabricksSettings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from databricks.sdk import WorkspaceClient

SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"
"""Azure Databricks, in every tenant."""

_CALL_SECONDS = 20
_RETRY_SECONDS = 30


class EntraStrategy(CredentialsStrategy):
    """Asks as an identity of Entra; the SDK has no way of its own for a managed identity.

    Args:
        credential: who asks; it keeps a token until shortly before its end, so it is asked for each call.
    """

    def __init__(self, credential: "TokenCredential") -> None:
        self._credential = credential

    def auth_type(self) -> str:
        """The name that the SDK gives to this way."""
        return "pegel-entra"

    def __call__(self, _config: Config) -> Callable[[], dict[str, str]]:
        """What gives the headers of a call."""
        return lambda: {"Authorization": f"Bearer {self._credential.get_token(SCOPE).token}"}


def connect(settings: DatabricksSettings, credential: "TokenCredential | None" = None) -> "WorkspaceClient":
    """A client of the workspace: by the token of the settings, by Entra, or by the SDK's own chain.

    Args:
        settings: the workspace and how to ask.
        credential: who asks if Entra is chosen; ``DefaultAzureCredential`` if it is not given.

    Raises:
        SettingsError: if the token of the settings is missing.
        ValueError: by the SDK, if it finds no way to ask.
    """
    from databricks.sdk import WorkspaceClient

    options: dict[str, Any] = {"http_timeout_seconds": _CALL_SECONDS, "retry_timeout_seconds": _RETRY_SECONDS}
    if settings.host:
        options["host"] = settings.host
    if settings.token is not None:
        options |= {"token": settings.token.read(), "auth_type": "pat"}
    elif settings.entra:
        options["credentials_strategy"] = EntraStrategy(credential or _default_credential())
    return WorkspaceClient(config=Config(**options))


def _default_credential() -> "TokenCredential":
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
