"""No forged call reaches the job service: each is refused for one reason, which is in the log and not in the answer."""

import base64
import hashlib
import hmac
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pegel.alerts.delivery.outgoing_webhook import event_body
from pegel.alerts.standard_webhooks import WINDOW_SECONDS, decode_secret, signed_headers
from pegel.alerts.webhook.entra_caller import ActionGroupCheck
from pegel.alerts.webhook.signed_caller import SignedCallerCheck
from pegel.conf.bearer_token import TokenError
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.local.azure_monitor.tokens import CALLER, ROLE

OTHER = "99999999-5575-4561-ac7f-899cc907d62a"
NOT_TOLD = {"detail": "the call is not let in"}


def _claims(monitor, **change: Any) -> dict[str, Any]:
    claims = monitor.tokens.claims(datetime.now(UTC))
    return {name: value for name, value in {**claims, **change}.items() if value is not None}


def _sign(monitor, *, key: Any = None, kid: str | None = "", alg: str = "RS256", **change: Any) -> str:
    named = {"kid": kid or monitor.tokens.key_id} if kid is not None else None
    return jwt.encode(_claims(monitor, **change), monitor.tokens.key if key is None else key, alg, headers=named)


def _hs256_with_public_key(monitor) -> str:
    """The confusion attack: the published key as the secret of a symmetric algorithm, signed by hand."""
    pem = monitor.tokens.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def _part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = _claims(monitor)
    claims |= {name: int(claims[name].timestamp()) for name in ("iat", "nbf", "exp")}
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': monitor.tokens.key_id})}.{_part(claims)}"
    signature = base64.urlsafe_b64encode(hmac.new(pem, signed.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return f"{signed}.{signature}"


def _tampered(monitor) -> str:
    head, body, signature = monitor.tokens.issue().split(".")
    return f"{head}.{body[:-4]}AAAA.{signature}"


def _ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


FORGED = {
    "none": (lambda m: _sign(m, key="", alg="none"), 401, "not signed with RS256"),
    "hs256 with the public key": (_hs256_with_public_key, 401, "not signed with RS256"),
    "rs512": (lambda m: _sign(m, alg="RS512"), 401, "not signed with RS256"),
    "another key": (
        lambda m: _sign(m, key=rsa.generate_private_key(65537, 2048)),
        401,
        "signature of the token is wrong",
    ),
    "unknown kid": (lambda m: _sign(m, kid="someone"), 401, "does not publish"),
    "no kid": (lambda m: _sign(m, kid=None), 401, "does not name its key"),
    "changed body": (_tampered, 401, "signature of the token is wrong"),
    "expired": (lambda m: _sign(m, exp=_ago(seconds=90)), 401, "has expired"),
    "replayed after an hour": (lambda m: _sign(m, nbf=_ago(hours=2), exp=_ago(hours=1)), 401, "has expired"),
    "not valid yet": (lambda m: _sign(m, nbf=_ago(seconds=-90)), 401, "not valid yet"),
    "no expiry": (lambda m: _sign(m, exp=None), 401, "lacks a claim"),
    "no audience": (lambda m: _sign(m, aud=None), 401, "lacks a claim"),
    "no issuer": (lambda m: _sign(m, iss=None), 401, "lacks a claim"),
    "wrong audience": (lambda m: _sign(m, aud="api://other"), 403, "another audience"),
    "wrong issuer": (lambda m: _sign(m, iss="https://login.example/other/v2.0"), 403, "another issuer"),
    "wrong tenant": (lambda m: _sign(m, tid=OTHER), 403, "another tenant"),
    "no tenant": (lambda m: _sign(m, tid=None), 403, "another tenant"),
    "wrong azp": (lambda m: _sign(m, azp=OTHER), 403, "another application"),
    "wrong azp, right appid": (lambda m: _sign(m, azp=OTHER, appid=CALLER), 403, "another application"),
    "wrong appid": (lambda m: _sign(m, azp=None, appid=OTHER), 403, "another application"),
    "no caller": (lambda m: _sign(m, azp=None), 403, "another application"),
    "no role": (lambda m: _sign(m, roles=None), 403, "lacks the role"),
    "another role": (lambda m: _sign(m, roles=["Reader"]), 403, "lacks the role"),
    "role as a scope": (lambda m: _sign(m, roles=None, scp=ROLE), 403, "lacks the role"),
    "no token": (lambda _m: "", 401, "a bearer token is needed"),
    "no jwt": (lambda _m: "abc.def", 401, "no JSON web token"),
}


def test_forged_tokens_are_refused_for_one_reason_each_and_reach_no_job(hook, fired, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = {}
    for name, (forge, status, reason) in FORGED.items():
        caplog.clear()
        token = forge(hook.monitor)
        answer = hook.call(fired(), token)
        logged = [r.getMessage() for r in caplog.records if r.name == "pegel.alerts.webhook.app"]
        if (answer.status_code, answer.json(), len(logged)) != (status, NOT_TOLD, 1) or reason not in logged[0]:
            wrong[name] = (answer.status_code, answer.text, logged)
        if len(token) > 20:
            assert token not in caplog.text, name
            assert token.split(".")[1][:20] not in caplog.text, name
    assert wrong == {}
    assert (hook.jobs.started, hook.outcomes()) == ([], [])
    assert hook.call(fired()).status_code == 202, "and the one that is not forged is let in"


@pytest.fixture
def later(monkeypatch):
    """Lets the clock of the key cache go on."""
    real, gone = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: real() + gone[0])

    def _later(seconds: float) -> None:
        gone[0] += seconds

    return _later


def test_key_that_was_exchanged_is_taken_and_the_old_one_only_while_it_is_published(
    make_monitor, webhook_settings, later
):
    monitor = make_monitor()
    check = ActionGroupCheck(webhook_settings(monitor))

    def _reason(token: str) -> str:
        try:
            check.check(f"Bearer {token}")
        except TokenError as error:
            return error.reason
        return "let in"

    old = monitor.tokens.issue()
    assert _reason(old) == "let in"
    monitor.rotate_keys(publish_old=True)
    new = monitor.tokens.issue()
    assert "does not publish" in _reason(new), "the keys were fetched a moment ago"
    later(31)
    assert (_reason(new), _reason(old)) == ("let in", "let in")
    monitor.rotate_keys(publish_old=False)
    later(301)
    assert (_reason(monitor.tokens.issue()), "does not publish" in _reason(new)) == ("let in", True)
    assert "does not publish" in _reason(old)


SECRET, NEW = "whsec_" + "A" * 44, "whsec_" + "B" * 44


@pytest.fixture
def event(row):
    return event_body(row(1, "confirmed", 2))


def _headers(body: bytes, name: str = "msg_1", *secrets: str, at: datetime | None = None) -> dict[str, str]:
    keys = [decode_secret(secret, "test") for secret in secrets or (SECRET,)]
    return signed_headers(keys, name, at or datetime.now(UTC), body)


def _of_another_body(body: bytes) -> dict[str, str]:
    return _headers(body + b" ")


FORGED_SIGNATURES = {
    "none": (lambda _b: {}, "header of the signature is missing"),
    "another secret": (lambda b: _headers(b, "m", NEW), "no signature is of a live secret"),
    "of another body": (_of_another_body, "no signature is of a live secret"),
    "renamed": (lambda b: _headers(b) | {"webhook-id": "msg_2"}, "no signature is of a live secret"),
    "made younger": (
        lambda b: _headers(b, at=_ago(seconds=900)) | {"webhook-timestamp": str(int(time.time()))},
        "no signature is of a live secret",
    ),
    "replayed after the window": (lambda b: _headers(b, at=_ago(seconds=WINDOW_SECONDS + 5)), "too old"),
    "from the future": (lambda b: _headers(b, at=_ago(seconds=-WINDOW_SECONDS - 5)), "from the future"),
    "another version": (
        lambda b: {k: v.replace("v1,", "v2,") for k, v in _headers(b).items()}, "no signature is of a live secret"
    ),
    "no base64": (lambda b: _headers(b) | {"webhook-signature": "v1,%%%"}, "no signature is of a live secret"),
    "odd time": (lambda b: _headers(b) | {"webhook-timestamp": "1e9"}, "no number of seconds"),
    "endless time": (lambda b: _headers(b) | {"webhook-timestamp": "9" * 400}, "no number of seconds"),
    "many signatures": (
        lambda b: _headers(b) | {"webhook-signature": "v1,x " * 500 + _headers(b)["webhook-signature"]},
        "no signature is of a live secret",
    ),
    "long name": (lambda b: _headers(b, "x" * 300), "no good name"),
    "name with a dot": (lambda b: _headers(b, "msg.1"), "no good name"),
    "a token of Entra instead": (lambda _b: {"Authorization": "Bearer a.b.c"}, "header of the signature is missing"),
}  # fmt: skip


def test_forged_signatures_are_refused_for_one_reason_each_and_reach_no_job(hook, event, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = {}
    for name, (forge, reason) in FORGED_SIGNATURES.items():
        caplog.clear()
        answer = hook.call_signed(event, forge(event))
        logged = [r.getMessage() for r in caplog.records if r.name == "pegel.alerts.webhook.app"]
        if (answer.status_code, answer.json(), len(logged)) != (401, NOT_TOLD, 1) or reason not in logged[0]:
            wrong[name] = (answer.status_code, answer.text, logged)
    assert wrong == {}
    assert (hook.jobs.started, hook.outcomes()) == ([], [])


def test_signed_call_starts_one_run_and_its_replay_within_the_window_none(hook, event, row, wait):
    headers = _headers(event)
    answers = [hook.call_signed(event, headers).status_code for _ in range(3)]
    answers.append(hook.call_signed(event, _headers(event, "msg_2")).status_code)
    assert answers == [202, 200, 200, 200], "the alert's own id names the call, however often it is sent"
    wait(lambda: hook.outcomes() == ["stored", "started"], "the run is recorded")
    assert hook.jobs.started == [row(1)["incident_id"]]


def test_signature_is_no_way_past_the_token_and_the_token_none_past_the_signature(hook, event, fired):
    body = json.dumps(fired()).encode()
    assert hook.call(body, "", **_headers(body)).status_code == 401
    token = {"Authorization": f"Bearer {hook.monitor.tokens.issue()}"}
    assert hook.call_signed(event, token).status_code == 401
    assert hook.outcomes() == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"type": "pegel.alert.confirmed"}', b"[" * 100_000])
def test_signed_body_that_is_no_alert_is_refused_for_good(hook, body):
    assert hook.call_signed(body, _headers(body)).status_code == 400
    assert hook.outcomes() == []


def test_both_of_two_secrets_are_live_and_a_third_is_not(event, monkeypatch):
    monkeypatch.setenv("OLD", SECRET)
    monkeypatch.setenv("NEW", NEW)
    check = SignedCallerCheck((SecretRef(env="NEW"), SecretRef(env="OLD")))
    for secret in (SECRET, NEW):
        check.check(_headers(event, "m", secret), event)
    third = "whsec_" + "C" * 44
    with pytest.raises(TokenError):
        check.check(_headers(event, "m", third), event)
    monkeypatch.setenv("OLD", third)
    check.check(_headers(event, "m", third), event)
    with pytest.raises(TokenError):
        check.check(_headers(event, "m", SECRET), event)


def test_webhook_does_not_start_with_a_secret_that_is_none(monkeypatch):
    monkeypatch.setenv("OLD", "whsec_short")
    with pytest.raises(SettingsError, match=r"webhook\.secrets"):
        SignedCallerCheck((SecretRef(env="OLD"),))
