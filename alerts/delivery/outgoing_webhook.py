"""The sink webhook: each alert as a signed call to an endpoint of one's own. Edge.

A call carries ``webhook-id``, which is the alert's id and the same for every copy: the receiver drops copies by it. One
alert a call, so that a receiver that refuses one takes the others.
"""

import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import httpx

from pegel.alerts.delivery.address_guard import allowed_address
from pegel.alerts.delivery.retry_after import retry_after_seconds
from pegel.alerts.delivery.sink import Alert, DeliveryError
from pegel.alerts.standard_webhooks import decode_secret, signed_headers
from pegel.conf.delivery_settings import OutgoingWebhookSettings
from pegel.errors import OutsideError, SettingsError
from pegel.schemas.alert_stream import TYPE_PREFIX, to_stream_row

_CONTENT_REFUSED = (400, 413, 415, 422)
_SECTION = "delivery.webhook"


class WebhookSink:
    """Posts alerts to the URL of the settings.

    Each attempt looks the name up anew and connects to the very address that was found good. Redirects are not followed
    and proxies of the environment not asked: both would lead past that check.

    Args:
        settings: the URL, the secrets and which networks may be called.
        now: the clock.

    Raises:
        SettingsError: if the URL is missing or no https, or a secret is missing or none.
    """

    name = "webhook"
    forgets = False

    def __init__(
        self, settings: OutgoingWebhookSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._url = _checked(settings.url)
        if not settings.secrets:
            msg = f"{_SECTION}.secrets is empty; without a signature the receiver cannot know who calls"
            raise SettingsError(msg)
        self._settings = settings
        self._now = now
        self._keys()
        self._client = httpx.Client(
            verify=_trust(settings.ca_file), timeout=settings.timeout_seconds, trust_env=False, follow_redirects=False
        )

    def chunks(self, alerts: Sequence[Alert]) -> Iterator[list[Alert]]:
        """One alert a call."""
        for alert in alerts:
            yield [alert]

    def send(self, alerts: Sequence[Alert]) -> str:
        """Post one alert.

        Raises:
            DeliveryError: if the name leads where nothing may be called, or the answer is not one of success.
        """
        [alert] = alerts
        body = event_body(alert)
        try:
            answer = self._post(body, signed_headers(self._keys(), alert["alert_id"], self._now(), body))
        except (httpx.HTTPError, OutsideError, SettingsError, OSError) as error:
            msg = f"the webhook at {self._url.host} could not be called: {type(error).__name__}: {error}"
            raise DeliveryError(msg) from error
        if not answer.is_success:
            after = retry_after_seconds(answer.headers.get("retry-after"), self._now())
            msg = f"the webhook at {self._url.host} answered {answer.status_code}"
            raise DeliveryError(msg, after, content=answer.status_code in _CONTENT_REFUSED)
        return f"{answer.status_code} by {self._url.host}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _keys(self) -> list[bytes]:
        return [decode_secret(secret.read(), f"{_SECTION}.secrets") for secret in self._settings.secrets]

    def _post(self, body: bytes, signature: dict[str, str]) -> httpx.Response:
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        address = allowed_address(self._url.raw_host.decode("ascii"), port, self._settings.allowed_networks)
        if self._url.scheme == "http" and not address.is_loopback:
            msg = f"{_SECTION}.url is http, which is for this machine alone; {self._url.host} is {address}"
            raise SettingsError(msg)
        headers = {"Content-Type": "application/json", "Host": self._url.netloc.decode("ascii"), **signature}
        # The address is connected to; the name stays what the certificate has to be for.
        target = self._url.copy_with(host=str(address))
        request = self._client.build_request(
            "POST",
            target,
            content=body,
            headers=headers,
            extensions={"sni_hostname": self._url.raw_host.decode("ascii")},
        )
        answer = self._client.send(request, stream=True)
        answer.close()  # what a receiver says beside its status is of no interest, however long it is
        return answer


def event_body(alert: Alert) -> bytes:
    """The call's body: type, time and the alert as Azure Monitor gets it.

    Example:
        >>> body = event_body({"alert_id": "a", "state": "opened", "decided_time": datetime(2026, 1, 2, tzinfo=UTC)})
        >>> event = json.loads(body)
        >>> event["type"], event["timestamp"], event["data"]["alert_id"]
        ('pegel.alert.opened', '2026-01-02T00:00:00Z', 'a')
    """
    row = to_stream_row(alert)
    event = {"type": f"{TYPE_PREFIX}{row['state']}", "timestamp": row.pop("TimeGenerated"), "data": row}
    return json.dumps(event, allow_nan=False, separators=(",", ":")).encode()


def _checked(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        msg = f"{_SECTION}.url is no URL: {error}"
        raise SettingsError(msg) from error
    if url.scheme not in ("https", "http") or not url.host:
        msg = (
            f"{_SECTION}.url has to be https://…, or http:// on this machine; set it, or take webhook out of the sinks"
        )
        raise SettingsError(msg)
    if url.userinfo:
        msg = f"{_SECTION}.url holds a password, which would end up in logs; the signature says who calls"
        raise SettingsError(msg)
    return url


def _trust(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = f"{_SECTION}.ca_file {ca_file!r} cannot be read as a certificate: {error}"
        raise SettingsError(msg) from error
