"""The local Azure Monitor refuses what the real one refuses; its rules and action group behave as the real ones do."""

import gzip
import json
import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import jwt
import pytest

from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.local.azure_monitor.local_azure_monitor import PAGE_RULE, RETRAIN_RULE
from pegel.local.azure_monitor.tokens import CALLER, ROLE
from pegel.schemas.alert_stream import COLUMNS, to_stream_row

GOOD = [{"TimeGenerated": "2026-03-01T00:00:00Z", "alert_id": "a", "sequence": 1, "calibrated": True, "effect": 1}]


@pytest.fixture
def post(monitor):
    context = ssl.create_default_context(cafile=monitor.ca_file)
    path = f"/dataCollectionRules/{monitor.rule_id}/streams/{monitor.stream_name}"
    with httpx.Client(verify=context, base_url=monitor.endpoint, trust_env=False) as client:

        def _post(content: Any, *, url: str = path, version: str = "2023-01-01", zipped: bool = False, **headers: str):
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            sent = {"Authorization": "Bearer token-of-the-sender", "Content-Type": "application/json"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            if zipped:
                sent, data = sent | {"Content-Encoding": "gzip"}, gzip.compress(data)
            return client.post(url, params={"api-version": version}, content=data, headers=sent)

        yield _post


def test_good_upload_is_answered_204_zipped_and_plain(post, monitor):
    assert [post(GOOD).status_code, post(GOOD, zipped=True).status_code] == [204, 204]
    assert [r.row for r in monitor.received] == GOOD * 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"url": "/dataCollectionRules/dcr-1"}, 404),
        ({"url": "/dataCollectionRules/dcr-1/streams/Custom-PegelAlerts"}, 404),
        ({"version": "2021-11-01-preview"}, 400),
        ({"Authorization": "Basic abc"}, 401),
        ({"Authorization": "Bearer other"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Encoding": "br"}, 415),
        ({"Content_Encoding": "gzip"}, 400),
    ],
)
def test_call_that_the_service_refuses_is_refused(post, monitor, options, status):
    answer = post(GOOD, **options)
    assert answer.status_code == status
    assert answer.json()["error"]["code"]
    assert monitor.received == []


@pytest.mark.parametrize(
    "body",
    [
        GOOD[0],
        [1],
        b"[{]",
        b'[{"TimeGenerated": "2026-03-01T00:00:00Z", "effect": NaN}]',
        b'[{"TimeGenerated": "2026-03-01T00:00:00Z", "effect": Infinity}]',
        [{"alert_id": "no time"}],
        [{**GOOD[0], "TimeGenerated": "yesterday"}],
        [{**GOOD[0], "TimeGenerated": "2026-03-01T00:00:00"}],
        [{**GOOD[0], "unknown": 1}],
        [{**GOOD[0], "sequence": 1.5}],
        [{**GOOD[0], "sequence": 2**31}],
        [{**GOOD[0], "sequence": True}],
        [{**GOOD[0], "alert_id": 7}],
        [{**GOOD[0], "calibrated": "yes"}],
        [{**GOOD[0], "effect": "large"}],
    ],
)
def test_body_against_the_declaration_is_refused_whole(post, monitor, body):
    assert post(GOOD if body is GOOD else body).status_code == 400
    assert monitor.received == []


def test_body_over_one_mebibyte_is_refused_packed_and_unpacked(post, monitor):
    large = [{**GOOD[0], "message": "x" * 1_048_576}]
    assert post(large).status_code == 413
    assert post(large, zipped=True).status_code == 413
    assert monitor.received == []


def test_plain_http_reaches_nothing(monitor):
    with pytest.raises(httpx.HTTPError):
        httpx.get(monitor.endpoint.replace("https", "http"), trust_env=False)


def test_certificate_is_trusted_by_its_own_authority_alone(monitor):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(monitor.jwks_url, trust_env=False)


def test_stream_declares_no_column_that_the_service_reserves():
    reserved = {"_resourceid", "id", "_subscriptionid", "tenantid", "type", "uniqueid", "title"}
    assert [name for name in COLUMNS if name.lower() in reserved or len(name) > 45 or not name[0].isalpha()] == []


def test_rule_fires_once_for_each_incident_and_resolves_when_it_is_over(make_monitor, sink_settings, row, wait):
    monitor = make_monitor()
    sink = AzureMonitorSink(sink_settings(monitor))

    def seen() -> list[tuple[str, str, str]]:
        return [(t.rule, t.condition, t.incident_id) for t in monitor.transitions]

    first, second = row(1)["incident_id"], row(2)["incident_id"]
    sink.send([row(1), row(1), row(2)])
    wait(lambda: len(seen()) == 2, "both incidents page")
    sink.send([row(1, "confirmed", 2)])
    wait(lambda: len(seen()) == 3, "the retraining rule fires")
    sink.send([row(1, "confirmed", 2), row(1)])
    sink.send([row(1, "resolved", 3, action="none"), row(2, "retracted", 2, action="none")])
    wait(lambda: len(seen()) == 6, "all resolve")
    assert sorted(seen()[:2]) == sorted([(PAGE_RULE, "Fired", first), (PAGE_RULE, "Fired", second)])
    assert seen()[2] == (RETRAIN_RULE, "Fired", first)
    assert sorted(seen()[3:]) == sorted(
        [(PAGE_RULE, "Resolved", first), (PAGE_RULE, "Resolved", second), (RETRAIN_RULE, "Resolved", first)]
    )
    fired = {t.rule: t.azure_alert_id for t in monitor.transitions[:3] if t.incident_id == first}
    resolved = {t.rule: t.azure_alert_id for t in monitor.transitions[3:] if t.incident_id == first}
    assert fired == resolved


@pytest.fixture
def confirm(sink_settings, row):
    """Sends the row that confirms the incident of a number."""
    return lambda monitor, number: AzureMonitorSink(sink_settings(monitor)).send([row(number, "confirmed", 2)])


class _Receiver(HTTPServer):
    """Answers calls with the statuses of a script, then 200."""

    def __init__(self, *script: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.script = list(script)
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        Thread(target=lambda: self.serve_forever(0.05), daemon=True).start()


class _Answer(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((dict(self.headers), body))
        self.send_response(self.server.script.pop(0) if self.server.script else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receive():
    made = []

    def _receive(*script: int) -> _Receiver:
        made.append(_Receiver(*script))
        return made[-1]

    yield _receive
    for receiver in made:
        receiver.shutdown()
        receiver.server_close()


def test_action_group_posts_the_common_schema_with_a_good_token(make_monitor, confirm, row, wait, receive):
    receiver = receive()
    monitor = make_monitor(webhook_url=receiver.url)
    confirm(monitor, 1)
    wait(lambda: monitor.calls, "the action group calls")
    [(headers, body)] = receiver.seen
    essentials = body["data"]["essentials"]
    [condition] = body["data"]["alertContext"]["condition"]["allOf"]
    assert (body["schemaId"], essentials["monitorCondition"]) == ("azureMonitorCommonAlertSchema", "Fired")
    assert (essentials["alertRule"], essentials["monitoringService"]) == (RETRAIN_RULE, "Log Alerts V2")
    assert condition["dimensions"] == [
        {"name": "model", "value": "assistant"},
        {"name": "incident_id", "value": row(1)["incident_id"]},
    ]
    assert condition["threshold"] == "0"
    context = ssl.create_default_context(cafile=monitor.ca_file)
    token = headers["Authorization"].removeprefix("Bearer ")
    key = jwt.PyJWKClient(monitor.jwks_url, ssl_context=context).get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=monitor.audience, issuer=monitor.issuer)
    assert (claims["azp"], claims["roles"], claims["ver"]) == (CALLER, [ROLE], "2.0")


@pytest.mark.parametrize(
    "answers",
    [
        ([503, 429, 408, 504], [503, 429, 408, 504, 200]),
        ([503] * 9, [503] * 6),
        ([500], [500]),
        ([401], [401]),
        ([302], [302]),
    ],
)
def test_action_group_tries_again_only_what_the_table_says(make_monitor, confirm, wait, receive, answers):
    script, statuses = answers
    receiver = receive(*script)
    monitor = make_monitor(webhook_url=receiver.url, delay_scale=0.002)
    confirm(monitor, 1)
    wait(lambda: len(monitor.calls) >= len(statuses), "all tries are made")
    assert [call.status for call in monitor.calls] == statuses
    assert [call.attempt for call in monitor.calls] == list(range(1, len(statuses) + 1))
    assert {json.dumps(body) for _, body in receiver.seen} == {json.dumps(receiver.seen[0][1])}


def test_action_group_leaves_an_endpoint_alone_after_the_last_try(make_monitor, confirm, wait, receive):
    receiver = receive(*[503] * 6)
    monitor = make_monitor(webhook_url=receiver.url, delay_scale=0.01)
    confirm(monitor, 1)
    wait(lambda: len(monitor.calls) == 6, "all tries are made")
    confirm(monitor, 2)
    wait(lambda: len(monitor.transitions) == 4, "the rule fires for the second incident")
    wait(lambda: not any(thread.is_alive() for thread in monitor._group._threads), "every post has ended")
    assert len(receiver.seen) == 6


def test_every_row_that_the_product_makes_is_one_the_stream_takes(post, row):
    assert post([to_stream_row(row(n, "confirmed", 2)) for n in range(3)]).status_code == 204
