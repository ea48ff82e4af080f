"""How the tables are opened from the settings: secrets and tokens for the storage. Edge.

A folder needs nothing. A token of Entra lives for about an hour, so options are asked for anew whenever a table is
opened or read.
"""

from collections.abc import Callable
from typing import Any, Protocol

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import StorageSettings
from pegel.tables.delta import DeltaTables

SCOPE = "https://storage.azure.com/.default"


class Credential(Protocol):
    """What gives tokens: any credential of ``azure.identity``, which keeps a token until shortly before its end."""

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token with the attribute ``token``."""


def open_tables(settings: StorageSettings, root: str | None = None) -> DeltaTables:
    """The tables of the settings.

    Args:
        settings: where they lie and what opens the storage.
        root: another root in the same storage, if not that of the settings.
    """
    return DeltaTables(root or settings.root, storage_options(settings))


def storage_options(settings: StorageSettings, credential: Credential | None = None) -> Callable[[], dict[str, str]]:
    """What gives the options for ``deltalake``, each time that they are needed.

    Args:
        settings: the options, whose secrets are read at each call, and whether Entra is asked.
        credential: who asks; ``DefaultAzureCredential`` if it is not given.

    Raises:
        SettingsError: by what is returned, if a secret is missing.
    """
    asked = credential if credential is not None or not settings.entra else _default_credential()

    def current() -> dict[str, str]:
        options = {
            name: value.read() if isinstance(value, SecretRef) else value for name, value in settings.options.items()
        }
        if settings.entra and asked is not None:
            options["bearer_token"] = asked.get_token(SCOPE).token
        return options

    return current


def _default_credential() -> Credential:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
