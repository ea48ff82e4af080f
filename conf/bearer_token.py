"""Whose bearer tokens are taken: RS256 of one issuer for one audience. Edge: fetches the issuer's keys.

It lies beside the settings because two rooms check tokens that must not import each other: the webhook's and serving.
The algorithm is pinned and the key set's address comes from the settings alone; nothing in a token chooses either.
Nothing of a token is ever logged or answered.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt

from pegel.conf.settings import TokenSettings
from pegel.errors import OutsideError, PegelError, SettingsError

ALGORITHM = "RS256"
LEEWAY_SECONDS = 60
"""For clocks that differ."""

_FETCH_SECONDS = 5
_KEYS_LIVE_SECONDS = 300
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TokenError(PegelError):
    """A call is not let in. ``status`` is 401 where the token proves nothing, 403 where it is good but not for here."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class TokenCheck:
    """Checks the header ``Authorization``.

    Args:
        settings: the issuer, the audience and where the keys are.
        section: where these settings stand, for the messages.

    Raises:
        SettingsError: if one of them is missing, or the keys would come over an open line.
    """

    def __init__(self, settings: TokenSettings, section: str = "webhook") -> None:
        for name in ("jwks_url", "issuer", "audience"):
            if not getattr(settings, name):
                msg = f"{section}.{name} is empty; without it no token can be checked, so nothing is started"
                raise SettingsError(msg)
        url = urlsplit(settings.jwks_url)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            msg = f"{section}.jwks_url has to be https, not {url.scheme!r}: whoever can change the keys can sign tokens"
            raise SettingsError(msg)
        self._section = section
        self._issuer, self._audience = settings.issuer, settings.audience
        self._keys = jwt.PyJWKClient(
            settings.jwks_url,
            lifespan=_KEYS_LIVE_SECONDS,
            timeout=_FETCH_SECONDS,
            ssl_context=_trust(settings.jwks_ca_file, section),
        )

    def check(self, authorization: str | None) -> Mapping[str, Any]:
        """Let a call in, or not; it may wait for the issuer's keys.

        Returns:
            the claims of the token.

        Raises:
            TokenError: if the token is missing, forged, expired or for somebody else.
            OutsideError: if the issuer's keys cannot be had.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenError(401, "a bearer token is needed")
        key = self._key(token)
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.InvalidTokenError as error:
            raise _refusal(error) from None
        return claims

    def _key(self, token: str) -> jwt.PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise TokenError(401, "the token is no JSON web token") from None
        if header.get("alg") != ALGORITHM:
            raise TokenError(401, f"the token is not signed with {ALGORITHM}")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise TokenError(401, "the token does not name its key")
        try:
            self._keys.get_jwk_set()
            # A key that is not known is looked up again at the issuer, but not more often than every half minute.
            return self._keys.get_signing_key(kid)
        except jwt.PyJWKClientConnectionError as error:
            raise self._no_keys() from error
        except jwt.PyJWKClientError:
            raise TokenError(401, "the token is signed with a key that its issuer does not publish") from None
        except (jwt.PyJWTError, ValueError) as error:
            raise self._no_keys() from error

    def _no_keys(self) -> OutsideError:
        uri, where = self._keys.uri, self._section
        return OutsideError(f"the keys of the token issuer could not be read from {uri}; check {where}.jwks_url")


def _trust(ca_file: str | None, section: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = f"{section}.jwks_ca_file {ca_file!r} cannot be read as a certificate: {error}"
        raise SettingsError(msg) from error


def _refusal(error: jwt.InvalidTokenError) -> TokenError:
    reasons: tuple[tuple[type[jwt.InvalidTokenError], int, str], ...] = (
        (jwt.ExpiredSignatureError, 401, "the token has expired"),
        (jwt.ImmatureSignatureError, 401, "the token is not valid yet"),
        (jwt.InvalidSignatureError, 401, "the signature of the token is wrong"),
        (jwt.InvalidAudienceError, 403, "the token is for another audience"),
        (jwt.InvalidIssuerError, 403, "the token is of another issuer"),
        (jwt.MissingRequiredClaimError, 401, "the token lacks a claim"),
    )
    for kind, status, reason in reasons:
        if isinstance(error, kind):
            return TokenError(status, reason)
    return TokenError(401, "the token is not valid")
