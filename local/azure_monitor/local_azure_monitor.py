"""A local Azure Monitor: logs ingestion, three alert rules, an action group and the issuer of its tokens. Edge.

Real clients talk to it over HTTPS. What it refuses and repeats is what the real one refuses and repeats.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pegel.conf.loading import packaged
from pegel.local.azure_monitor.action_group import ActionGroup, WebhookCall
from pegel.local.azure_monitor.certificates import make_certificates
from pegel.local.azure_monitor.faults import Fault
from pegel.local.azure_monitor.ingestion import IngestionError, Stream
from pegel.local.azure_monitor.kql import compile_query
from pegel.local.azure_monitor.rules import LOOK_BACK, AlertRule, Transition, common_alert
from pegel.local.azure_monitor.server import Answer, HttpsServer
from pegel.local.azure_monitor.tokens import AUDIENCE, TokenIssuer
from pegel.schemas.alert_stream import COLUMNS, TABLE

PAGE_RULE = "pegel-page"
DATA_RULE = "pegel-data"
RETRAIN_RULE = "pegel-retrain"

_DIMENSIONS = ("model", "incident_id")


@dataclass(frozen=True, slots=True)
class Received:
    """A row that arrived."""

    at: datetime
    row: Mapping[str, Any]


class LocalAzureMonitor:
    """Takes its port when it is made, serves from :meth:`start` to :meth:`stop`.

    Args:
        folder: where certificates are written.
        token: the bearer token that may write.
        webhook_url: where the action group of the retraining rule posts; None posts nowhere.
        port: 0 lets the system choose.
        evaluation_seconds: how often the rules look; the real ones at least once a minute.
        delay_scale: the action group's waits are this many times as long as the real ones.
        rule_id: immutable id of the data collection rule.
        stream_name: its stream.

    Attributes:
        received: every row that arrived, copies included, with its time.
        transitions: what the rules fired and resolved.
        faults: what happens to the next uploads, in order.
        draw_fault: asked for each upload that nothing else happens to, see :class:`SeededFaults`.
        uploads: every upload that was not refused: how many rows it had, and what happened to it.
    """

    def __init__(
        self,
        folder: Path,
        token: str,
        webhook_url: str | None = None,
        *,
        port: int = 0,
        evaluation_seconds: float = 1.0,
        delay_scale: float = 0.1,
        rule_id: str = "dcr-00000000000000000000000000000000",
        stream_name: str = "Custom-PegelAlerts",
    ) -> None:
        certificates = make_certificates(folder)
        self._server = HttpsServer(port, certificates.server_file)
        self._stream = Stream(rule_id, stream_name, token, COLUMNS)
        self.ca_file = str(certificates.ca_file)
        self.tokens = TokenIssuer(self.endpoint)
        self._group = ActionGroup(self.tokens.issue, delay_scale)
        self._rules = _rules(webhook_url)
        self._evaluation_seconds = evaluation_seconds
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._rows: list[dict[str, Any]] = []
        self._started = datetime.now(UTC)
        self._threads: list[threading.Thread] = []
        self.received: list[Received] = []
        self.transitions: list[Transition] = []
        self.faults: deque[Fault] = deque()
        self.draw_fault: Callable[[], Fault | None] = lambda: None
        self.uploads: list[tuple[int, Fault | None]] = []
        self._server.upload = self._upload
        self._server.documents[self.tokens.jwks_path] = self.tokens.jwks()

    @property
    def endpoint(self) -> str:
        """The logs ingestion endpoint."""
        return f"https://localhost:{self._server.server_address[1]}"

    @property
    def rule_id(self) -> str:
        """Immutable id of the data collection rule."""
        return self._stream.rule_id

    @property
    def stream_name(self) -> str:
        """Name of the stream."""
        return self._stream.name

    @property
    def jwks_url(self) -> str:
        """Where the keys of the action group's tokens are."""
        return f"{self.endpoint}{self.tokens.jwks_path}"

    def rotate_keys(self, *, publish_old: bool) -> None:
        """Sign the action group's tokens with a new key, see :meth:`TokenIssuer.rotate`."""
        self.tokens.rotate(publish_old=publish_old)
        self._server.documents[self.tokens.jwks_path] = self.tokens.jwks()

    @property
    def issuer(self) -> str:
        """Claim ``iss`` of the action group's tokens."""
        return self.tokens.issuer

    @property
    def audience(self) -> str:
        """Claim ``aud`` of the action group's tokens."""
        return AUDIENCE

    @property
    def calls(self) -> Sequence[WebhookCall]:
        """Every call of the webhook, tries that failed included, with its time and the answer's status."""
        return self._group.calls

    def start(self) -> None:
        """Serve, and let the rules look, in threads."""
        for target in (self._serve, self._evaluate):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop all threads and give the port back; also right if it was never started."""
        self._stop.set()
        if self._threads:
            self._server.shutdown()
        for thread in self._threads:
            thread.join(10)
        self._group.stop()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)

    def _upload(self, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            self._stream.check_call(path, query, headers)
            rows = self._stream.read(body, headers.get("content-encoding", ""))
        except IngestionError as refused:
            return Answer(refused.status, refused.body)
        with self._lock:
            fault = self.faults.popleft() if self.faults else self.draw_fault()
            self.uploads.append((len(rows), fault))
            if fault is None or fault.lost_answer:
                now = datetime.now(UTC)
                self.received += [Received(now, row) for row in rows]
                self._rows += [stored_row(row, now) for row in rows]
        if fault is None:
            return Answer(204)
        if fault.lost_answer or fault.stall_seconds:
            self._stop.wait(fault.stall_seconds)
            return Answer(0, dropped=True)
        after = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        return Answer(fault.status, {"error": {"code": "Scripted", "message": "as scripted"}}, after)

    def _evaluate(self) -> None:
        seen = -1
        while not self._stop.wait(self._evaluation_seconds):
            with self._lock:
                rows = list(self._rows)
            if len(rows) == seen:
                continue
            seen = len(rows)
            for rule in self._rules:
                for transition in rule.evaluate(rows, datetime.now(UTC)):
                    self.transitions.append(transition)
                    for url in rule.calls:
                        self._group.post(url, transition, common_alert(rule, transition, self._started))


def _rules(webhook_url: str | None) -> list[AlertRule]:
    rules = []
    for name, file, severity, calls in (
        (PAGE_RULE, "azure/alert-page.kql", 1, ()),
        (RETRAIN_RULE, "azure/alert-retrain.kql", 2, (webhook_url,) if webhook_url else ()),
        (DATA_RULE, "azure/alert-data.kql", 1, ()),
    ):
        text = packaged(file)
        query = compile_query(text, {TABLE: [*COLUMNS]})
        rules.append(AlertRule(name, query, text, severity, _DIMENSIONS, calls))
    return rules


def stored_row(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The row in the table: every declared column is there, and times can be compared.

    A time that is more than two days old is replaced by that of its arrival, as the pages on custom logs say.
    """
    stored: dict[str, Any] = {name: row.get(name) for name in COLUMNS}
    for name, kind in COLUMNS.items():
        text = stored[name]
        if kind == "datetime" and text is not None:
            stored[name] = datetime.fromisoformat(text)
    if now - stored["TimeGenerated"] > LOOK_BACK:
        stored["TimeGenerated"] = now
    return stored
