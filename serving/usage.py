"""By what callers are known, read from a policy file, and who may listen without any. Edge: reads files and secrets.

What the section ``usage`` may say, and what is refused in it, stands in :mod:`pegel.conf.usage_section`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pegel.conf.secret_ref import SecretRef
from pegel.conf.usage_section import CallerInFile, read_usage
from pegel.errors import SettingsError
from pegel.schemas.usage_policy import UsagePolicy

MIN_KEY_CHARACTERS = 32
"""A shorter key could be guessed from its hash."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """By what callers are known: SHA-256 of keys, ids of Entra applications, roles of tokens; each -> caller."""

    keys: dict[bytes, str]
    app_ids: dict[str, str]
    roles: dict[str, str]

    @property
    def need_tokens(self) -> bool:
        """Whether some caller comes with an Entra token."""
        return bool(self.app_ids or self.roles)


def load_usage(path: str) -> tuple[UsagePolicy, Credentials]:
    """Read the usage policy of a file; keys are read once and only their hashes are kept.

    Args:
        path: a YAML file, or the name of one that ships with Pegel. Without the section ``usage`` it says nothing:
            everybody may ask on this machine, and nobody from elsewhere.

    Raises:
        SettingsError: if the file is missing, is no YAML, says something that is refused, or a key cannot be read.
    """
    found = read_usage(path)
    return found.policy, _credentials(found.callers)


def require_callers(host: str, policy: UsagePolicy) -> None:
    """See that nobody from elsewhere can ask unknown.

    Args:
        host: where serving is to listen.
        policy: the usage policy.

    Raises:
        SettingsError: if that is not loopback, and the policy names no caller.
    """
    if policy.callers or _is_loopback(host):
        return
    msg = (
        f"serving.host {host!r} can be reached from other machines, but the usage policy names no callers, so anybody "
        "could ask; name them under usage.callers, or listen on 127.0.0.1"
    )
    raise SettingsError(msg)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _credentials(callers: Iterable[CallerInFile]) -> Credentials:
    made = Credentials({}, {}, {})
    for caller in callers:
        for key in caller.keys:
            _add(made.keys, _hash(key, caller.name), caller.name, "key")
        for app_id in caller.app_ids:
            _add(made.app_ids, app_id, caller.name, "app_id")
        for role in caller.roles:
            _add(made.roles, role, caller.name, "role")
    return made


def _add(into: dict[Any, str], what: bytes | str, caller: str, kind: str) -> None:
    if what in into:
        msg = f"the callers {into[what]!r} and {caller!r} share a {kind}; give each its own, or nobody knows who asked"
        raise SettingsError(msg)
    into[what] = caller


def _hash(key: SecretRef | str, caller: str) -> bytes:
    if isinstance(key, str):
        return bytes.fromhex(key)
    secret = key.read()
    if len(secret) < MIN_KEY_CHARACTERS:
        msg = f"the key of the caller {caller!r} has fewer than {MIN_KEY_CHARACTERS} characters; make a random one"
        raise SettingsError(msg)
    return hashlib.sha256(secret.encode()).digest()
