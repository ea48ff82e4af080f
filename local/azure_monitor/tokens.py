"""The tokens of an action group's secure webhook, as Entra issues them (v2), and the key set to check them with."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

TENANT = "11111111-2222-3333-4444-555555555555"
AUDIENCE = "66666666-7777-8888-9999-000000000000"
"""Client id of the webhook's app registration."""
CALLER = "461e8683-5575-4561-ac7f-899cc907d62a"
"""App id of the first-party application *AzNS AAD Webhook*, which calls secure webhooks."""
ROLE = "ActionGroupsSecureWebhook"
_LIFETIME = timedelta(hours=1)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(slots=True)
class TokenIssuer:
    """Signs tokens.

    Attributes:
        base_url: where the key set is served.
        key: what it signs with now.
        number: how many keys it has had.
        retired: earlier keys that it still publishes, by their names.
    """

    base_url: str
    key: rsa.RSAPrivateKey = field(default_factory=_new_key)
    number: int = 1
    retired: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)

    @property
    def key_id(self) -> str:
        """Name of the key."""
        return f"pegel-local-{self.number}"

    def rotate(self, *, publish_old: bool) -> None:
        """Sign with a new key from now on, and publish the earlier ones on, as Entra does for some days, or not."""
        self.retired = {**self.retired, self.key_id: self.key} if publish_old else {}
        self.key, self.number = _new_key(), self.number + 1

    @property
    def issuer(self) -> str:
        """Claim ``iss``."""
        return f"{self.base_url}/{TENANT}/v2.0"

    @property
    def jwks_path(self) -> str:
        """Path of the key set, as Entra names it."""
        return f"/{TENANT}/discovery/v2.0/keys"

    def jwks(self) -> dict[str, Any]:
        """The public key set."""
        keys = {self.key_id: self.key, **self.retired}
        return {
            "keys": [
                {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": "RS256"}
                for kid, key in keys.items()
            ]
        }

    def claims(self, now: datetime) -> dict[str, Any]:
        """The claims of a good token."""
        return {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "azp": CALLER,
            "tid": TENANT,
            "roles": [ROLE],
            "sub": CALLER,
            "oid": CALLER,
            "ver": "2.0",
            "iat": now,
            "nbf": now,
            "exp": now + _LIFETIME,
        }

    def issue(self) -> str:
        """A good token."""
        return jwt.encode(self.claims(datetime.now(UTC)), self.key, algorithm="RS256", headers={"kid": self.key_id})
