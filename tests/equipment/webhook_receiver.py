"""An endpoint of somebody else's that takes Standard Webhooks: https on loopback, checks every signature."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pegel.alerts.standard_webhooks import SignatureError, decode_secret, verify
from pegel.local.azure_monitor.certificates import make_certificates
from pegel.local.azure_monitor.server import Answer, HttpsServer

PATH = "/hooks/pegel"


class WebhookReceiver:
    """Keeps what was signed by its secret, and answers as it is told to.

    Attributes:
        calls: headers and event of each call that was taken, copies included.
        answers: what the next calls are answered instead of 204; they are taken only if the answer is dropped.
        away: whether every call is answered 503.
        refused: alerts that are answered 422.
        on_call: called after a call was taken and before it is answered.
    """

    def __init__(self, folder: Path, secret: str) -> None:
        certificates = make_certificates(folder)
        self.ca_file = str(certificates.ca_file)
        self._server = HttpsServer(0, certificates.server_file)
        self._server.upload = self._take
        self._key = decode_secret(secret, "the receiver's secret")
        self.calls: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answers: list[Answer] = []
        self.away = False
        self.refused: set[str] = set()
        self.on_call: Callable[[], None] = lambda: None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What to call."""
        return f"https://localhost:{self.port}{PATH}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The alerts, as Azure Monitor would have them."""
        return [{**event["data"], "TimeGenerated": event["timestamp"]} for _, event in self.calls]

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Give the port back."""
        self._server.shutdown()
        self._server.server_close()

    def _take(self, path: str, _query: Any, headers: Any, body: bytes) -> Answer:
        if path != PATH:
            return Answer(404)
        try:
            verify([self._key], headers, body, datetime.now(UTC))
        except SignatureError:
            return Answer(401)
        event = json.loads(body)
        if self.away:
            return Answer(503)
        if event["data"]["alert_id"] in self.refused:
            return Answer(422)
        answer = self.answers.pop(0) if self.answers else Answer(204)
        if answer.dropped or 200 <= answer.status < 300:
            self.calls.append((dict(headers), event))
            self.on_call()
        return answer
