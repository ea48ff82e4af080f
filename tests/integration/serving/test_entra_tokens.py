"""Callers that come with a token: signed by a real key, whose public half a real server publishes."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pegel.conf.bearer_token import TokenCheck
from pegel.conf.settings import TokenSettings
from pegel.errors import SettingsError
from pegel.schemas.usage_policy import CallerRule, UsagePolicy
from pegel.serving.gate import Gate
from pegel.serving.refusal import RefusedError
from pegel.serving.trail import PREDICT
from pegel.serving.usage import Credentials

ISSUER, AUDIENCE = "https://login.microsoftonline.com/tenant/v2.0", "api://pegel"
APP, ROLE = "11111111-2222-3333-4444-555555555555", "Pegel.Ask"


class Issuer:
    """Publishes its key on loopback and signs tokens."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key())) | {"kid": "k1", "use": "sig"}
        published = json.dumps({"keys": [jwk]}).encode()

        class Published(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(published)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Published)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.settings = TokenSettings(
            jwks_url=f"http://127.0.0.1:{self.server.server_port}/keys", issuer=ISSUER, audience=AUDIENCE
        )

    def token(self, key: Any = None, **claims: Any) -> str:
        lasting = {"iss": ISSUER, "aud": AUDIENCE, "exp": datetime.now(UTC) + timedelta(minutes=5)}
        return "Bearer " + jwt.encode(lasting | claims, key or self.key, algorithm="RS256", headers={"kid": "k1"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def gate(issuer: Issuer) -> Gate:
    callers = tuple(CallerRule(name, ("*",), ("support",), 1000) for name in ("shop", "analysts"))
    credentials = Credentials({}, {APP: "shop"}, {ROLE: "analysts"})
    return Gate(
        "assistant", policy=UsagePolicy(callers=callers), credentials=credentials, tokens=TokenCheck(issuer.settings)
    )


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"azp": APP}, "shop"),
        ({"appid": APP}, "shop"),
        ({"azp": "other", "roles": ["Else", ROLE]}, "analysts"),
        ({"azp": APP, "roles": [ROLE]}, "shop"),
    ],
)
def test_a_token_is_known_by_its_application_or_role(gate: Gate, issuer: Issuer, claims: Any, caller: str) -> None:
    assert gate.identify(None, issuer.token(**claims), PREDICT).name == caller


@pytest.mark.parametrize(
    ("claims", "status", "reason"),
    [
        ({"azp": "other"}, 403, "unknown_caller"),
        ({"roles": ROLE}, 403, "unknown_caller"),
        ({"azp": [APP]}, 403, "unknown_caller"),
        ({"azp": APP, "aud": "api://other"}, 403, "bad_token"),
        ({"azp": APP, "iss": "https://other"}, 403, "bad_token"),
        ({"azp": APP, "exp": datetime(2026, 1, 1, tzinfo=UTC)}, 401, "bad_token"),
    ],
)
def test_a_token_that_is_not_for_here_is_refused(
    gate: Gate, issuer: Issuer, claims: Any, status: int, reason: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        gate.identify(None, issuer.token(**claims), PREDICT)
    assert (caught.value.refusal.status, caught.value.refusal.reason) == (status, reason)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic eDp5", "Bearer a.b.c"])
def test_what_is_no_token_is_refused(gate: Gate, authorization: str | None) -> None:
    with pytest.raises(RefusedError) as caught:
        gate.identify(None, authorization, PREDICT)
    assert caught.value.refusal.status == 401


def test_a_token_that_another_key_signed_is_refused(gate: Gate, issuer: Issuer) -> None:
    with pytest.raises(RefusedError) as caught:
        gate.identify(None, issuer.token(rsa.generate_private_key(65537, 2048), azp=APP), PREDICT)
    assert caught.value.refusal.status == 401


def test_while_the_issuer_is_away_the_caller_is_told_to_come_back(issuer: Issuer) -> None:
    away = issuer.settings.model_copy(update={"jwks_url": "http://127.0.0.1:9/keys"})
    credentials = Credentials({}, {APP: "shop"}, {})
    policy = UsagePolicy(callers=(CallerRule("shop", ("*",), ("support",), 1000),))
    gate = Gate("assistant", policy=policy, credentials=credentials, tokens=TokenCheck(away))
    with pytest.raises(RefusedError) as caught:
        gate.identify(None, issuer.token(azp=APP), PREDICT)
    assert (caught.value.refusal.status, caught.value.refusal.reason) == (503, "issuer_away")
    assert caught.value.refusal.retry_after_s


def test_where_tokens_are_to_be_checked_their_issuer_has_to_be_named() -> None:
    with pytest.raises(SettingsError, match=r"serving\.tokens\.jwks_url is empty"):
        TokenCheck(TokenSettings(), "serving.tokens")
