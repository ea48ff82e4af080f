"""Real servers on loopback, and rows of ``alerts``, for the tests of what goes out and what comes in."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from equipment.served_webhook import ServedWebhook
from equipment.webhook_receiver import WebhookReceiver

from pegel.alerts.incident import alert_key, incident_key
from pegel.conf.delivery_settings import AzureMonitorSettings, OutgoingWebhookSettings
from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import WebhookSettings
from pegel.local.azure_monitor import LocalAzureMonitor
from pegel.local.azure_monitor.rules import FIRED, Transition, common_alert
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

TOKEN = "token-of-the-sender"
SECRET = "whsec_" + "A" * 44
START = datetime(2026, 3, 1, tzinfo=UTC)


def wait_until(ready: Callable[[], Any], what: str, seconds: float = 15.0) -> None:
    """Poll until something is so; a failure says what was waited for."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain until {what}")
        threading.Event().wait(0.02)


def alert_row(number: int, state: str = "opened", sequence: int = 1, **change: Any) -> dict[str, Any]:
    """A row of ``alerts`` of the incident that micro-batch ``number`` opened."""
    incident = incident_key("assistant", "drift", number)
    moment = START + timedelta(seconds=number)
    return {
        "alert_id": alert_key(incident, sequence),
        "incident_id": incident,
        "sequence": sequence,
        "state": state,
        "batch_id": number,
        "rule": "drift",
        "model": "assistant",
        "version": "1",
        "segment": "*",
        "column": "input_length",
        "columns": ["input_length"],
        "severity": 2,
        "action": "retrain",
        "value": 90.5,
        "threshold": 30.0,
        "effect": 0.6,
        "p_value": 1e-9,
        "n": 200,
        "calibrated": False,
        "baseline_id": "base-1",
        "first_batch_id": number,
        "last_batch_id": number,
        "since": moment,
        "window_end": moment,
        "windows": [],
        "event_time": moment,
        "enqueued_time": moment,
        "stored_time": moment,
        "decided_time": moment,
        "title": "Drift",
        "message": "It drifts.",
        "runbook": "drift.md",
        "policy_hash": "0" * 16,
        "code_version": "0",
        **change,
    }


class WebhookServer:
    """An application on a port of its own, in a thread."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def serve(self, app: Any) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server and self._server.started, "the webhook serves")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
        self._socket.close()


@pytest.fixture
def webhook_server() -> Iterator[WebhookServer]:
    server = WebhookServer()
    yield server
    server.stop()


@pytest.fixture
def make_monitor(tmp_path: Path) -> Iterator[Callable[..., LocalAzureMonitor]]:
    made: list[LocalAzureMonitor] = []

    def _make(**options: Any) -> LocalAzureMonitor:
        fast = {"evaluation_seconds": 0.05, "delay_scale": 0.01}
        monitor = LocalAzureMonitor(tmp_path / f"monitor-{len(made)}", TOKEN, **{**fast, **options})
        monitor.start()
        made.append(monitor)
        return monitor

    yield _make
    for monitor in made:
        monitor.stop()


@pytest.fixture(scope="session")
def _one_monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzureMonitor]:
    monitor = LocalAzureMonitor(tmp_path_factory.mktemp("monitor"), TOKEN)
    monitor.start()
    yield monitor
    monitor.stop()


@pytest.fixture
def monitor(_one_monitor: LocalAzureMonitor) -> LocalAzureMonitor:
    """One for all tests that ask nothing of its rules; what arrived before is forgotten."""
    _one_monitor.received.clear()
    _one_monitor.faults.clear()
    _one_monitor._rows.clear()
    _one_monitor.uploads.clear()
    return _one_monitor


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables(str(tmp_path / "tables"))


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MONITOR_TOKEN", TOKEN)
    monkeypatch.setenv("TEST_WRONG_TOKEN", "somebody-else")
    monkeypatch.setenv("TEST_WEBHOOK_SECRET", SECRET)


@pytest.fixture
def sink_settings() -> Callable[..., AzureMonitorSettings]:
    def _settings(monitor: LocalAzureMonitor, **change: Any) -> AzureMonitorSettings:
        values = {
            "endpoint": monitor.endpoint,
            "rule_id": monitor.rule_id,
            "stream_name": monitor.stream_name,
            "ca_file": monitor.ca_file,
            "token": SecretRef(env="TEST_MONITOR_TOKEN"),
        }
        return AzureMonitorSettings(**{**values, **change})

    return _settings


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[WebhookReceiver]:
    """Somebody else's endpoint, which knows the secret of ``TEST_WEBHOOK_SECRET``."""
    made = WebhookReceiver(tmp_path / "receiver", SECRET)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def outgoing(receiver: WebhookReceiver) -> Callable[..., OutgoingWebhookSettings]:
    def _settings(**change: Any) -> OutgoingWebhookSettings:
        values = {
            "url": receiver.url,
            "secrets": (SecretRef(env="TEST_WEBHOOK_SECRET"),),
            "ca_file": receiver.ca_file,
            "allowed_networks": ("127.0.0.0/8", "::1/128"),
        }
        return OutgoingWebhookSettings(**{**values, **change})

    return _settings


@pytest.fixture
def webhook_settings() -> Callable[[LocalAzureMonitor], WebhookSettings]:
    return lambda monitor: WebhookSettings(
        jwks_url=monitor.jwks_url, jwks_ca_file=monitor.ca_file, issuer=monitor.issuer, audience=monitor.audience
    )


@pytest.fixture
def hook(
    webhook_server: WebhookServer, monitor: LocalAzureMonitor, tables: DeltaTables, webhook_settings: Any
) -> ServedWebhook:
    """Served, with a confirmed incident."""
    tables.append("alerts", [alert_row(1), alert_row(1, "confirmed", 2)])
    return ServedWebhook(webhook_server, monitor, tables, webhook_settings(monitor))


@pytest.fixture
def fired(monitor: LocalAzureMonitor) -> Callable[..., dict[str, Any]]:
    """The body of a call of the action group."""
    rule = monitor._rules[1]

    def _fired(condition: str = FIRED, number: int = 1, at: str = "2026-03-01T00:00:00+00:00") -> dict[str, Any]:
        moment = datetime.fromisoformat(at)
        dimensions = (("model", "assistant"), ("incident_id", alert_row(number)["incident_id"]))
        return common_alert(rule, Transition(moment, rule.name, condition, dimensions, "/alerts/1", moment), moment)

    return _fired


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    return alert_row


@pytest.fixture
def wait() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def trail(tables: DeltaTables, tmp_path: Path) -> Iterator[AuditTrail]:
    """The audit trail of the webhook."""
    made = AuditTrail(tables, "webhook", tmp_path / "spool")
    yield made
    made.close()
