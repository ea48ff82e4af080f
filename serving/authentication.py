"""Who is asking: an API key, a token of Entra, or nobody in particular. Edge: a token's keys are fetched.

A key is compared by its SHA-256, with every key that is known and in constant time, so that neither the answer nor its
time tells how much of a key was right.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from pegel.conf.bearer_token import TokenCheck, TokenError
from pegel.errors import OutsideError
from pegel.schemas.usage_policy import ANONYMOUS
from pegel.serving.refusal import Reason, Refusal, RefusedError
from pegel.serving.usage import Credentials

KEY_HEADER = "X-API-Key"


class Authentication:
    """Finds the caller of a request.

    Args:
        credentials: by what callers are known; without any, everybody is anonymous.
        tokens: what checks bearer tokens; needed if a caller has an application or a role.
    """

    def __init__(self, credentials: Credentials, tokens: TokenCheck | None = None) -> None:
        self._keys = tuple(credentials.keys.items())
        self._app_ids, self._roles = credentials.app_ids, credentials.roles
        self._tokens = tokens
        self._open = not (credentials.keys or credentials.need_tokens)

    def waits(self, api_key: str | None, authorization: str | None) -> bool:
        """Whether :meth:`caller` may have to wait for the issuer's keys, so that it must not hold up the loop."""
        return self._tokens is not None and api_key is None and authorization is not None

    def caller(self, api_key: str | None, authorization: str | None) -> str:
        """The caller's name.

        Args:
            api_key: the header :data:`KEY_HEADER`; it wins over a token.
            authorization: the header ``Authorization``.

        Raises:
            RefusedError: 401 if nothing proves who it is, 403 if it is somebody who may not ask here, 503 if the
                issuer's keys cannot be had.
        """
        if self._open:
            return ANONYMOUS
        if api_key is not None:
            return self._of_key(api_key)
        if authorization is None or self._tokens is None:
            needed = f"a key in the header {KEY_HEADER}" + (" or a bearer token" if self._tokens else "")
            raise _refused(401, Reason.NO_CREDENTIALS, f"{needed} is needed; the usage policy says who gets one")
        try:
            return self._of_claims(self._tokens.check(authorization))
        except TokenError as error:
            raise _refused(error.status, Reason.BAD_TOKEN, error.reason) from None
        except OutsideError:
            detail = "the keys of the token issuer cannot be read now, so no token can be checked; come again"
            raise _refused(503, Reason.ISSUER_AWAY, detail, retry_after_s=5.0) from None

    def _of_key(self, api_key: str) -> str:
        given = hashlib.sha256(api_key.encode()).digest()
        found = None
        for known, name in self._keys:
            if hmac.compare_digest(given, known):
                found = name
        if found is None:
            raise _refused(401, Reason.UNKNOWN_KEY, f"the key in the header {KEY_HEADER} is not known")
        return found

    def _of_claims(self, claims: Mapping[str, Any]) -> str:
        app_id = claims.get("azp") or claims.get("appid")
        if isinstance(app_id, str) and app_id in self._app_ids:
            return self._app_ids[app_id]
        roles = claims.get("roles")
        for role in roles if isinstance(roles, list) else []:
            if isinstance(role, str) and role in self._roles:
                return self._roles[role]
        detail = "the token is good, but the usage policy knows neither its application nor its roles"
        raise _refused(403, Reason.UNKNOWN_CALLER, detail)


def _refused(status: int, reason: Reason, detail: str, retry_after_s: float | None = None) -> RefusedError:
    return RefusedError(Refusal(status, reason.value, detail, retry_after_s=retry_after_s))
