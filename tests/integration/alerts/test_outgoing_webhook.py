"""The outgoing webhook: signed by every live secret, to the address that was checked and to no other."""

import ipaddress
import socket
from typing import Any

import pytest

from pegel.alerts.delivery.address_guard import is_allowed
from pegel.alerts.delivery.outgoing_webhook import WebhookSink
from pegel.alerts.delivery.sink import DeliveryError
from pegel.conf.delivery_settings import OutgoingWebhookSettings
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.local.azure_monitor.server import Answer

NEW = "whsec_" + "B" * 44


def test_call_names_the_alert_and_is_signed_by_both_secrets_so_that_either_side_may_change_first(
    receiver, outgoing, row, monkeypatch
):
    monkeypatch.setenv("TEST_NEW_SECRET", NEW)
    both = (SecretRef(env="TEST_NEW_SECRET"), *outgoing().secrets)
    receipt = WebhookSink(outgoing(secrets=both)).send([row(1)])
    assert receipt == "204 by localhost"
    [(headers, event)] = receiver.calls
    assert headers["webhook-id"] == row(1)["alert_id"] == event["data"]["alert_id"]
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert (event["type"], event["timestamp"]) == ("pegel.alert.opened", "2026-03-01T00:00:01Z")
    assert headers["host"] == f"localhost:{receiver.port}"
    with pytest.raises(DeliveryError, match="answered 401") as raised:
        WebhookSink(outgoing(secrets=both[:1])).send([row(1)])
    assert not raised.value.content, "a person may mend it"
    assert NEW not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "says", "content", "after"),
    [
        (Answer(429, headers={"Retry-After": "17"}), "answered 429", False, 17.0),
        (Answer(500), "answered 500", False, None),
        (Answer(404), "answered 404", False, None),
        (Answer(400), "answered 400", True, None),
        (Answer(413), "answered 413", True, None),
        (Answer(0, dropped=True), "could not be called", False, None),
    ],
)
def test_answer_says_whether_to_come_again(receiver, outgoing, row, answer, says, content, after):
    receiver.answers.append(answer)
    with pytest.raises(DeliveryError, match=says) as raised:
        WebhookSink(outgoing()).send([row(1)])
    assert (raised.value.content, raised.value.retry_after_seconds) == (content, after)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_no_success_and_is_not_followed(receiver, outgoing, row, status):
    receiver.answers.append(Answer(status, headers={"Location": receiver.url}))
    with pytest.raises(DeliveryError, match=f"answered {status}"):
        WebhookSink(outgoing()).send([row(1)])
    assert receiver.calls == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "168.63.129.16",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
        "fd00:ec2::254",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "fec0::a",
        "2001:0:4136:e378:8000:63bf:5601:5601",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_refused_however_it_is_written(address):
    assert not is_allowed(ipaddress.ip_address(address), [])


@pytest.mark.parametrize("address", ["20.50.2.1", "2603:1020::1", "::ffff:20.50.2.1", "64:ff9b::1432:201"])
def test_public_address_is_taken(address):
    assert is_allowed(ipaddress.ip_address(address), [])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "168.63.129.16",
        "fe80::1",
        "0.0.0.0",
        "fec0::a",
        "::a9fe:a9fe",
        "::ffff:0:a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
    ],
)
def test_no_setting_opens_the_way_to_the_tokens_of_this_machine(address):
    everything = [ipaddress.ip_network(network) for network in ("0.0.0.0/0", "::/0")]
    assert not is_allowed(ipaddress.ip_address(address), everything)


@pytest.fixture
def resolve(monkeypatch):
    """Lets names lead to addresses of one's own; tells which names were asked for."""
    real, asked = socket.getaddrinfo, []

    def _resolve(**names: list[str]) -> list[str]:
        def _answer(host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
            name = host.decode() if isinstance(host, bytes) else host
            asked.append(name)
            known = {k.replace("_", "."): v for k, v in names.items()}
            if name not in known:
                return real(host, port, *rest, **more)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[name]]

        monkeypatch.setattr(socket, "getaddrinfo", _answer)
        return asked

    return _resolve


def test_name_that_leads_inside_is_not_called(receiver, outgoing, row, resolve):
    resolve(hooks_example=["127.0.0.1"])
    settings = outgoing(url=f"https://hooks.example:{receiver.port}/hooks/pegel", allowed_networks=())
    with pytest.raises(DeliveryError, match=r"hooks\.example leads to 127\.0\.0\.1, which is not public"):
        WebhookSink(settings).send([row(1)])
    assert receiver.calls == []


def test_name_with_one_address_inside_among_public_ones_is_not_called(outgoing, row, resolve):
    resolve(hooks_example=["20.50.2.1", "169.254.169.254"])
    with pytest.raises(DeliveryError, match=r"leads to 169\.254\.169\.254"):
        WebhookSink(outgoing(url="https://hooks.example/x")).send([row(1)])


def test_name_is_asked_for_once_and_what_was_checked_is_connected_to(receiver, outgoing, row, resolve):
    asked = resolve()
    WebhookSink(outgoing()).send([row(1)])
    assert asked.count("localhost") == 1, "a second look might lead elsewhere"
    assert len(receiver.calls) == 1


def test_certificate_has_to_be_for_the_name_though_the_address_is_connected_to(receiver, outgoing, row, resolve):
    resolve(hooks_example=["127.0.0.1"])
    with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
        WebhookSink(outgoing(url=f"https://hooks.example:{receiver.port}/hooks/pegel")).send([row(1)])
    with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
        WebhookSink(outgoing(ca_file=None)).send([row(1)])
    assert receiver.calls == []


def test_http_is_for_this_machine_alone(outgoing, row, resolve):
    resolve(hooks_example=["10.1.2.3"])
    settings = outgoing(url="http://hooks.example/x", allowed_networks=("10.0.0.0/8",))
    with pytest.raises(DeliveryError, match="http, which is for this machine alone"):
        WebhookSink(settings).send([row(1)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"url": ""}, "delivery.webhook.url"),
        ({"url": "ftp://hooks.example/x"}, "delivery.webhook.url"),
        ({"url": "https://user:word@hooks.example/x"}, "holds a password"),
        ({"url": "https://hooks.example:x/"}, "no URL"),
        ({"secrets": ()}, "delivery.webhook.secrets"),
        ({"ca_file": "/no/such/file"}, "ca_file"),
    ],
)
def test_webhook_does_not_start_with_settings_that_cannot_be_meant(outgoing, change, says):
    with pytest.raises(SettingsError, match=says):
        WebhookSink(outgoing(**change))


@pytest.mark.parametrize("secret", ["whsec_short", "whsec_" + "A" * 28, "whsec_" + "A" * 100, "not base64 at all!"])
def test_secret_that_is_none_is_said_at_the_start_without_showing_it(outgoing, monkeypatch, secret):
    monkeypatch.setenv("TEST_WEBHOOK_SECRET", secret)
    with pytest.raises(SettingsError, match=r"delivery\.webhook\.secrets is not whsec_") as raised:
        WebhookSink(outgoing())
    assert secret not in str(raised.value)


def test_third_secret_and_a_network_that_is_none_are_no_settings():
    secret = SecretRef(env="X")
    with pytest.raises(ValueError, match="at most 2"):
        OutgoingWebhookSettings(secrets=(secret, secret, secret))
    with pytest.raises(ValueError, match="does not appear to be"):
        OutgoingWebhookSettings(allowed_networks=("everything",))
