"""How the tables are opened from the settings: secrets and tokens for the storage. Edge.

A folder needs nothing. A token of Entra lives for about an hour, so options are asked for anew whenever a table is
opened or read.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import StorageSettings
from pegel.tables.delta import DeltaTables

SCOPE = "https://storage.azure.com/.default"

RENEW_SECONDS = 300
"""A token is renewed so long before its end: what has been opened with it may still be read for a while."""


class Credential(Protocol):
    """What gives tokens: any credential of ``azure.identity``."""

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token with the attributes ``token`` and ``expires_on``, in seconds since 1970 UTC."""


def open_tables(settings: StorageSettings, root: str | None = None) -> DeltaTables:
    """The tables of the settings.

    Args:
        settings: where they lie and what opens the storage.
        root: another root in the same storage, if not that of the settings.
    """
    return DeltaTables(root or settings.root, storage_options(settings))


def storage_options(
    settings: StorageSettings, credential: Credential | None = None, clock: Callable[[], float] = time.time
) -> Callable[[], dict[str, str]]:
    """What gives the options for ``deltalake``, each time that they are needed.

    Args:
        settings: the options, whose secrets are read at each call, and whether Entra is asked.
        credential: who asks; ``DefaultAzureCredential`` if it is not given.
        clock: seconds since 1970 UTC.

    Raises:
        SettingsError: by what is returned, if a secret is missing.
    """
    token = _Token(credential or _default_credential(), clock) if settings.entra else None

    def current() -> dict[str, str]:
        options = {
            name: value.read() if isinstance(value, SecretRef) else value for name, value in settings.options.items()
        }
        return options if token is None else options | {"bearer_token": token.current()}

    return current


class _Token:
    """A token, kept until shortly before its end: not every credential keeps its own, and some start a program."""

    def __init__(self, credential: Credential, clock: Callable[[], float]) -> None:
        self._credential, self._clock = credential, clock
        self._kept: Any = None
        self._lock = threading.Lock()

    def current(self) -> str:
        with self._lock:
            if self._kept is None or self._kept.expires_on - self._clock() < RENEW_SECONDS:
                self._kept = self._credential.get_token(SCOPE)
            return str(self._kept.token)


def _default_credential() -> Credential:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
