"""Claims-based security: what a shared access signature proves, and for which entity. Pure."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_plus, urlsplit

from pegel.local.eventhubs.conditions import UNAUTHORIZED, RefusedError

SAS_TYPE = "servicebus.windows.net:sastoken"
_SCHEME = "SharedAccessSignature "


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to use all entities below a path (lower case) until a moment (seconds since 1970 UTC)."""

    path: str
    expires: float

    def covers(self, path: str, now: float) -> bool:
        """Whether the grant reaches an entity's path, and still holds."""
        path = path.lower().strip("/")
        below = not self.path or path == self.path or path.startswith(self.path + "/")
        return below and now < self.expires


class Authority:
    """Verifies tokens against the one key of the namespace.

    Args:
        key_name: the name of the rule.
        key: its key.
        clock: seconds since 1970 UTC.
    """

    def __init__(self, key_name: str, key: str, clock: Callable[[], float] = time.time) -> None:
        self._key_name = key_name
        self._key = key.encode()
        self.clock = clock

    def verify(self, token: object) -> Grant:
        """What a token proves.

        Raises:
            RefusedError: if it is no signature of this key, or has expired.
        """
        if not isinstance(token, str) or not token.startswith(_SCHEME):
            raise RefusedError(UNAUTHORIZED, "MalformedToken: a shared access signature was expected.")
        fields = dict(part.partition("=")[::2] for part in token.removeprefix(_SCHEME).split("&"))
        resource, expiry = fields.get("sr", ""), fields.get("se", "")
        signed = f"{resource}\n{expiry}".encode()
        expected = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        genuine = hmac.compare_digest(expected.encode(), unquote_plus(fields.get("sig", "")).encode())
        # The SDK quotes the rule's name twice, other clients once.
        name = unquote_plus(fields.get("skn", ""))
        if not genuine or self._key_name not in (name, unquote_plus(name)) or not expiry.isdecimal():
            raise RefusedError(UNAUTHORIZED, "InvalidSignature: the token has an invalid signature.")
        if float(expiry) <= self.clock():
            raise RefusedError(UNAUTHORIZED, "ExpiredToken: the token has expired.")
        return Grant(urlsplit(unquote_plus(resource)).path.strip("/").lower(), float(expiry))
