"""An endpoint that gives an application tokens, as Entra's does for client credentials (RFC 6749, section 4.4)."""

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "77777777-0000-1111-2222-333333333333", "s~cr.et-%canary/+="
ISSUER = "https://sts.windows.net/11111111-2222-3333-4444-555555555555/"
_KEY_ID = "one"


class TokenEndpoint:
    """A context manager; ``url`` takes the requests.

    Args:
        audience: what its tokens are for.
        scope: the one that has to be asked for.
        valid: how long its tokens are good for.
    """

    def __init__(self, audience: str, scope: str, valid: timedelta = timedelta(hours=1)) -> None:
        self.audience, self.scope, self.valid = audience, scope, valid
        self.given = 0
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/oauth2/v2.0/token"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, **claims: Any) -> str:
        """A token; ``claims`` replaces those of a good one."""
        now = datetime.now(UTC)
        good = {"iss": ISSUER, "aud": self.audience, "sub": CLIENT_ID, "iat": now, "exp": now + self.valid}
        return jwt.encode(good | claims, self._key, algorithm="RS256", headers={"kid": _KEY_ID})

    def write_keys(self, path: Path) -> str:
        """Write the public keys; gives the file's URL."""
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        path.write_text(json.dumps({"keys": [key | {"kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}), encoding="utf-8")
        return path.as_uri()

    def _answer(self, authorization: str, body: str) -> tuple[int, dict[str, Any]]:
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        who = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if asked.get("grant_type") != "client_credentials" or asked.get("scope") != self.scope:
            return 400, {"error": "invalid_scope", "error_description": f"AADSTS70011: {asked}"}
        if (unquote(who[0]), unquote(who[2])) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}
        self.given += 1
        return 200, {"token_type": "Bearer", "expires_in": 3599, "access_token": self.token()}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                status, said = answer(self.headers.get("Authorization", ""), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler
