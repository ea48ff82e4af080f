"""The webhook as it is served, on loopback, with a job service that only counts."""

import json
from typing import Any

import httpx

from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.retraining.trigger import RetrainQueue, RetrainWorker
from pegel.alerts.webhook.app import create_app
from pegel.alerts.webhook.call import SIGNED
from pegel.alerts.webhook.entra_caller import ActionGroupCheck
from pegel.alerts.webhook.intake import Intake
from pegel.alerts.webhook.signed_caller import SignedCallerCheck
from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import WebhookSettings
from pegel.local.azure_monitor import LocalAzureMonitor
from pegel.tables.delta import DeltaTables

RULES = ("pegel-retrain", SIGNED)


class CountedJobs:
    """Starts nothing and remembers what it was asked for."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, incident_id: str) -> str:
        """Start a run."""
        self.started.append(incident_id)
        return str(len(self.started))


class ServedWebhook:
    """The webhook, its tables and its job service.

    Args:
        server: has ``url`` and serves an application.
        monitor: issues the tokens of the action group.
        tables: with rows of ``alerts``.
        settings: of the webhook.
        secrets: of who signs.
    """

    def __init__(
        self,
        server: Any,
        monitor: LocalAzureMonitor,
        tables: DeltaTables,
        settings: WebhookSettings,
        secrets: tuple[SecretRef, ...] = (SecretRef(env="TEST_WEBHOOK_SECRET"),),
    ) -> None:
        self.monitor, self.tables, self.jobs = monitor, tables, CountedJobs()
        self.url = f"{server.url}/alerts/azure"
        self.signed_url = f"{server.url}/alerts/signed"
        self.health = f"{server.url}/health"
        self.worker = RetrainWorker()
        self.intake = Intake(tables, RULES, self.worker.wake)
        queue = RetrainQueue(self.intake, self.jobs.start, Backoff(60, 1))
        self.check = ActionGroupCheck(settings)
        signatures = SignedCallerCheck(secrets)
        app = create_app(
            self.intake, self.check, lambda: self.worker.start(queue.step), self.worker.stop, signatures=signatures
        )
        server.serve(app)

    def call(self, body: Any, token: str | None = None, **headers: str) -> httpx.Response:
        """Call as the action group does; without a token of one's own with a good one."""
        token = self.monitor.tokens.issue() if token is None else token
        return self._post(self.url, body, {"Authorization": f"Bearer {token}".strip(), **headers})

    def call_signed(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Call as who has a secret."""
        return self._post(self.signed_url, body, headers)

    def outcomes(self) -> list[str]:
        """What came of the calls, the oldest first."""
        return [r["outcome"] for r in sorted(self.tables.read("webhook_calls"), key=lambda r: r["received_at"])]

    def _post(self, url: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        return httpx.post(url, content=content, headers=sent, trust_env=False, timeout=10)
