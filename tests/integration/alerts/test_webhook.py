"""The webhook over a real socket, with tokens of the real shape; no forged call may reach the job service."""

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pegel.alerts.intake import Intake
from pegel.alerts.outbox import Backoff
from pegel.alerts.retrain_trigger import RetrainQueue, RetrainWorker
from pegel.alerts.webhook import create_app
from pegel.conf.bearer_token import TokenCheck
from pegel.conf.settings import WebhookSettings
from pegel.errors import OutsideError, SettingsError
from pegel.local.azure_monitor.rules import FIRED, RESOLVED, Transition, common_alert
from pegel.local.azure_monitor.tokens import KEY_ID
from pegel.tables.delta import DeltaTables

RULES = ("pegel-retrain",)


class Jobs:
    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, incident_id: str) -> str:
        self.started.append(incident_id)
        return str(len(self.started))


class Hook:
    """The webhook, its tables and its job service."""

    def __init__(self, server, monitor, tables: DeltaTables, settings: WebhookSettings) -> None:
        self.monitor, self.tables, self.jobs = monitor, tables, Jobs()
        self.url = f"{server.url}/alerts/azure"
        self.health = f"{server.url}/health"
        self.worker = RetrainWorker()
        self.intake = Intake(tables, RULES, self.worker.wake)
        queue = RetrainQueue(self.intake, self.jobs.start, Backoff(60, 1))
        server.serve(create_app(self.intake, TokenCheck(settings), lambda: self.worker.start(queue), self.worker.stop))

    def call(self, body: Any, token: str | None = None, **headers: str) -> httpx.Response:
        token = self.monitor.tokens.issue() if token is None else token
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {token}".strip(), "Content-Type": "application/json", **headers}
        return httpx.post(self.url, content=content, headers=sent, trust_env=False, timeout=10)

    def outcomes(self) -> list[str]:
        return [r["outcome"] for r in sorted(self.tables.read("webhook_calls"), key=lambda r: r["received_at"])]


@pytest.fixture
def hook(webhook_server, monitor, tables, webhook_settings, row):
    tables.append("alerts", [row(1), row(1, "confirmed", 2)])
    return Hook(webhook_server, monitor, tables, webhook_settings(monitor))


@pytest.fixture
def fired(monitor, row):
    rule = monitor._rules[1]

    def _fired(condition: str = FIRED, number: int = 1, at: str = "2026-03-01T00:00:00+00:00") -> dict[str, Any]:
        moment = datetime.fromisoformat(at)
        dimensions = (("model", "assistant"), ("incident_id", row(number)["incident_id"]))
        return common_alert(rule, Transition(moment, rule.name, condition, dimensions, "/alerts/1", moment), moment)

    return _fired


def test_call_is_answered_202_after_it_was_stored_and_starts_one_run(hook, fired, wait, row):
    answer = hook.call(fired())
    assert (answer.status_code, answer.json()["outcome"]) == (202, "stored")
    assert hook.outcomes()[0] == "stored"
    wait(lambda: hook.outcomes() == ["stored", "started"], "the run is recorded")
    again = hook.call(fired())
    assert (again.status_code, again.json()["outcome"]) == (200, "duplicate")
    assert hook.jobs.started == [row(1)["incident_id"]]
    assert httpx.get(hook.health, trust_env=False).json() == {"status": "ok", "waiting": 0}


def test_call_that_resolved_never_starts_a_run_even_before_the_one_that_fired(hook, fired, wait):
    assert hook.call(fired(RESOLVED)).json()["outcome"] == "ignored"
    assert hook.jobs.started == []
    assert hook.call(fired()).json()["outcome"] == "stored"
    wait(lambda: hook.jobs.started, "the run starts")


def _claims(monitor, **change: Any) -> dict[str, Any]:
    claims = monitor.tokens.claims(datetime.now(UTC))
    return {name: value for name, value in {**claims, **change}.items() if value is not None}


def _sign(monitor, claims: dict[str, Any], *, key: Any = None, kid: str | None = KEY_ID, alg: str = "RS256") -> str:
    headers = {"kid": kid} if kid else None
    return jwt.encode(claims, monitor.tokens.key if key is None else key, algorithm=alg, headers=headers)


def _hs256_with_public_key(monitor) -> str:
    """The confusion attack: the published key as the secret of a symmetric algorithm, signed by hand."""
    import base64
    import hashlib
    import hmac

    pem = monitor.tokens.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def _part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = _claims(monitor)
    claims |= {name: int(claims[name].timestamp()) for name in ("iat", "nbf", "exp")}
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': KEY_ID})}.{_part(claims)}"
    signature = base64.urlsafe_b64encode(hmac.new(pem, signed.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return f"{signed}.{signature}"


def _tampered(monitor) -> str:
    head, body, signature = monitor.tokens.issue().split(".")
    return f"{head}.{body[:-4]}AAAA.{signature}"


def _ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


FORGED = {
    "none": lambda m: (_sign(m, _claims(m), key="", kid=KEY_ID, alg="none"), 401),
    "hs256 with the public key": lambda m: (_hs256_with_public_key(m), 401),
    "rs512": lambda m: (_sign(m, _claims(m), alg="RS512"), 401),
    "another key": lambda m: (_sign(m, _claims(m), key=rsa.generate_private_key(65537, 2048)), 401),
    "unknown kid": lambda m: (_sign(m, _claims(m), kid="someone"), 401),
    "no kid": lambda m: (_sign(m, _claims(m), kid=None), 401),
    "changed body": lambda m: (_tampered(m), 401),
    "expired": lambda m: (_sign(m, _claims(m, exp=_ago(seconds=90))), 401),
    "not valid yet": lambda m: (_sign(m, _claims(m, nbf=_ago(seconds=-90))), 401),
    "no expiry": lambda m: (_sign(m, _claims(m, exp=None)), 401),
    "no audience": lambda m: (_sign(m, _claims(m, aud=None)), 401),
    "no issuer": lambda m: (_sign(m, _claims(m, iss=None)), 401),
    "wrong audience": lambda m: (_sign(m, _claims(m, aud="api://other")), 403),
    "wrong issuer": lambda m: (_sign(m, _claims(m, iss="https://login.example/other/v2.0")), 403),
    "no token": lambda _m: ("", 401),
    "no jwt": lambda _m: ("abc.def", 401),
}


def test_forged_tokens_are_refused_with_a_plain_reason_and_reach_no_job(hook, fired, caplog):
    caplog.set_level(logging.DEBUG)
    answers = {}
    for name, forge in FORGED.items():
        token, status = forge(hook.monitor)
        answer = hook.call(fired(), token)
        answers[name] = (answer.status_code, status)
        assert answer.json()["detail"], name
        if len(token) > 20:
            assert token not in answer.text + caplog.text, name
            assert token.split(".")[1][:20] not in answer.text + caplog.text, name
    assert {name: got for name, (got, wanted) in answers.items() if got != wanted} == {}
    assert (hook.jobs.started, hook.outcomes()) == ([], [])


def test_token_of_a_clock_that_goes_up_to_a_minute_wrong_is_taken(hook, fired):
    token = _sign(hook.monitor, _claims(hook.monitor, exp=_ago(seconds=40), nbf=_ago(seconds=-40)))
    assert hook.call(fired(), token).status_code == 202


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"schemaId": "other"}', b"\xff"])
def test_body_that_is_no_common_alert_is_refused_for_good(hook, body):
    assert hook.call(body).status_code == 400
    assert hook.outcomes() == []


def test_body_above_the_cap_is_refused_with_and_without_its_length(hook):
    assert hook.call(b"x" * (256 * 1024 + 1)).status_code == 413

    def _stream():
        for _ in range(5):
            yield b"x" * 64 * 1024

    headers = {"Authorization": f"Bearer {hook.monitor.tokens.issue()}"}
    answer = httpx.post(hook.url, content=_stream(), headers=headers, trust_env=False)
    assert answer.status_code == 413


def test_trouble_of_its_own_is_answered_503_and_the_same_call_may_come_again(hook, fired, monkeypatch):
    def _away(*_: Any) -> bool:
        raise OutsideError("the storage is away")

    with monkeypatch.context() as broken:
        broken.setattr(hook.tables, "append", _away)
        assert hook.call(fired()).status_code == 503
    with monkeypatch.context() as broken:
        broken.setattr(hook.tables, "read", lambda *_: 1 / 0)
        assert hook.call(fired()).status_code == 503
    assert hook.call(fired()).status_code == 202


def test_issuer_that_is_away_is_answered_503(webhook_server, monitor, tables, webhook_settings, fired):
    settings = webhook_settings(monitor).model_copy(update={"jwks_url": "https://localhost:9/keys"})
    assert Hook(webhook_server, monitor, tables, settings).call(fired()).status_code == 503


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/"])
def test_webhook_shows_no_pages_about_itself(hook, path):
    assert httpx.get(hook.health.replace("/health", path), trust_env=False).status_code == 404


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"issuer": ""}, "webhook.issuer"),
        ({"audience": ""}, "webhook.audience"),
        ({"jwks_url": ""}, "webhook.jwks_url"),
        ({"jwks_url": "http://login.example/keys"}, "https"),
        ({"jwks_url": "file:///etc/passwd"}, "https"),
        ({"jwks_ca_file": "/no/such/file"}, "jwks_ca_file"),
    ],
)
def test_webhook_does_not_start_where_no_token_could_be_checked(monitor, webhook_settings, change, says):
    with pytest.raises(SettingsError, match=says):
        TokenCheck(webhook_settings(monitor).model_copy(update=change))
