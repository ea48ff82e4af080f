"""The webhook over a real socket: stored before it is answered, once for each incident, 503 for trouble of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from equipment.served_webhook import ServedWebhook

from pegel.conf.bearer_token import TokenCheck
from pegel.errors import OutsideError, SettingsError
from pegel.local.azure_monitor.rules import RESOLVED


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


def test_token_of_a_clock_that_goes_up_to_a_minute_wrong_is_taken(hook, monitor, fired):
    now = datetime.now(UTC)
    claims = monitor.tokens.claims(now) | {"exp": now - timedelta(seconds=40), "nbf": now + timedelta(seconds=40)}
    token = jwt.encode(claims, monitor.tokens.key, algorithm="RS256", headers={"kid": monitor.tokens.key_id})
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
    assert ServedWebhook(webhook_server, monitor, tables, settings).call(fired()).status_code == 503


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
