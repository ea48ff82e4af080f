"""Who may call the webhook: the one application that calls for action groups, in the role that was given to it. Edge.

A good token alone proves little: every application of the tenant can have one for this audience, without any role.
"""

import re
from collections.abc import Mapping
from typing import Any

from pegel.conf.bearer_token import TokenCheck, TokenError
from pegel.conf.settings import WebhookSettings

_TENANT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Each issuer of Entra has its tenant in its name, in tokens of both versions."""


class ActionGroupCheck(TokenCheck):
    """Checks the header ``Authorization``, and that it is Azure's action group who calls.

    Args:
        settings: the issuer, the audience, where the keys are, the caller and its role.

    Raises:
        SettingsError: if one of the first three is missing, or the keys would come over an open line.
    """

    def __init__(self, settings: WebhookSettings) -> None:
        super().__init__(settings)
        self._caller, self._role = settings.caller, settings.role
        tenant = _TENANT.search(settings.issuer)
        self._tenant = tenant[0].lower() if tenant else None

    def check(self, authorization: str | None) -> Mapping[str, Any]:
        """Let a call in, or not; it may wait for the issuer's keys.

        Returns:
            the claims of the token.

        Raises:
            TokenError: if the token is missing, forged, expired or for somebody else, or of another tenant, caller or
                role.
            OutsideError: if the issuer's keys cannot be had.
        """
        claims = super().check(authorization)
        if self._tenant is not None and claims.get("tid") != self._tenant:
            raise TokenError(403, "the token is of another tenant")
        # Tokens of version 2 name the caller in azp, those of version 1 in appid.
        if claims.get("azp", claims.get("appid")) != self._caller:
            raise TokenError(403, "the token was given to another application")
        roles = claims.get("roles")
        if not isinstance(roles, list) or self._role not in roles:
            raise TokenError(403, "the token lacks the role of an action group")
        return claims
