"""HTTPS on loopback: takes uploads as the Logs Ingestion API does, and serves the key set of the token issuer. Edge."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pegel.local.azure_monitor.ingestion import MAX_BYTES, IngestionError

_IDLE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered; a dropped one is never sent, and the connection is closed instead."""

    status: int
    body: Any = None
    headers: Mapping[str, str] | None = None
    dropped: bool = False


Upload = Callable[[str, Mapping[str, str], Mapping[str, str], bytes], Answer]
"""(path, query, headers in lower case, body) -> answer."""


class HttpsServer(ThreadingHTTPServer):
    """Takes a port at once, serves when told.

    Args:
        port: 0 lets the system choose.
        server_file: certificate and key in one PEM file.
    """

    daemon_threads = True

    def __init__(self, port: int, server_file: Path) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(server_file)
        # The handshake is left to the first read in the request's own thread, so that a silent client blocks nobody.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.upload: Upload = lambda *_: Answer(404)
        self.documents: dict[str, Any] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up or speaks no TLS is no event here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: HttpsServer

    def do_GET(self) -> None:  # the name is http.server's
        document = self.server.documents.get(urlsplit(self.path).path)
        self._answer(Answer(200, document) if document is not None else Answer(404, {"error": {"code": "NotFound"}}))

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BYTES:
            self.close_connection = True
            refused = IngestionError(
                413, "ContentLengthLimitExceeded", f"Content-Length is missing or above {MAX_BYTES}"
            )
            self._answer(Answer(refused.status, refused.body))
            return
        body = self.rfile.read(int(length))
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._answer(self.server.upload(url.path, dict(parse_qsl(url.query)), headers, body))

    def _answer(self, answer: Answer) -> None:
        if answer.dropped:
            self.close_connection = True
            return
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in (answer.headers or {}).items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """What was called is kept by the owner of the server."""
