"""The sink Azure Monitor: alerts as custom logs through the Logs Ingestion API. Edge.

The service does not drop copies: a call whose answer was lost may be made again. The alert rules drop them by
``alert_id``. The SDK's own retries are off, since the dispatcher has one schedule for all sinks and survives a crash.
"""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, HttpResponseError

from pegel.alerts.delivery.retry_after import retry_after_seconds
from pegel.alerts.delivery.sink import Alert, DeliveryError
from pegel.conf.delivery_settings import AzureMonitorSettings
from pegel.conf.secret_ref import SecretRef
from pegel.errors import SettingsError
from pegel.schemas.alert_stream import to_stream_row

if TYPE_CHECKING:
    from azure.monitor.ingestion import LogsIngestionClient

MAX_CHUNK_BYTES = 900_000
"""The service takes 1,048,576 bytes; the SDK forgets brackets and commas when it cuts, so portions are cut here."""

_CONTENT_REFUSED = (400, 413)
_CONNECT_SECONDS = 10


class StaticTokenCredential:
    """A bearer token from a secret, read each time that one is needed, so that a rotated one is picked up."""

    def __init__(self, token: SecretRef) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """The token; the SDK asks again after five minutes."""
        return AccessToken(self._token.read(), int(time.time()) + 300)


class AzureMonitorSink:
    """Sends alerts to a data collection rule.

    Args:
        settings: endpoint, rule and stream.
        credential: who asks; without it the token of the settings, or ``DefaultAzureCredential``.
    """

    name = "azure_monitor"
    forgets = True
    """Its alert rules look back two days at most."""

    def __init__(self, settings: AzureMonitorSettings, credential: TokenCredential | None = None) -> None:
        if not settings.endpoint or not settings.rule_id:
            msg = (
                "delivery.azure_monitor.endpoint and .rule_id are empty; set the logs ingestion endpoint and the "
                "immutable id of the data collection rule, or leave azure_monitor out of delivery.sinks"
            )
            raise SettingsError(msg)
        self._settings = settings
        self._client = _client(settings, credential or _credential(settings))

    def chunks(self, alerts: Sequence[Alert]) -> Iterator[list[Alert]]:
        """Portions of at most 900,000 bytes of JSON, brackets and separators included."""
        portion: list[Alert] = []
        size = 2
        for alert in alerts:
            more = len(json.dumps(to_stream_row(alert))) + 2
            if portion and size + more > MAX_CHUNK_BYTES:
                yield portion
                portion, size = [], 2
            portion.append(alert)
            size += more
        if portion:
            yield portion

    def send(self, alerts: Sequence[Alert]) -> str:
        """Upload one portion.

        Raises:
            DeliveryError: if the service does not answer 204.
        """
        errors: list[Any] = []
        rows = [to_stream_row(alert) for alert in alerts]
        self._client.upload(self._settings.rule_id, self._settings.stream_name, rows, on_error=errors.append)
        if errors:
            raise _not_delivered(errors[0].error)
        return f"204 for {len(rows)} rows in stream {self._settings.stream_name}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _credential(settings: AzureMonitorSettings) -> TokenCredential:
    if settings.token is not None:
        return StaticTokenCredential(settings.token)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _client(settings: AzureMonitorSettings, credential: TokenCredential) -> "LogsIngestionClient":
    from azure.monitor.ingestion import LogsIngestionClient

    return LogsIngestionClient(
        endpoint=settings.endpoint,
        credential=credential,
        connection_verify=settings.ca_file or True,
        retry_total=0,
        permit_redirects=False,
        connection_timeout=min(_CONNECT_SECONDS, settings.timeout_seconds),
        read_timeout=settings.timeout_seconds,
    )


def _not_delivered(error: Exception) -> DeliveryError:
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        header = getattr(error.response, "headers", {}).get("Retry-After")
        reason = (error.message or "").splitlines()
        return DeliveryError(
            f"Azure Monitor answered {error.status_code}: {reason[0] if reason else 'no reason given'}",
            retry_after_seconds(header, datetime.now(UTC)),
            content=error.status_code in _CONTENT_REFUSED,
        )
    if isinstance(error, AzureError | SettingsError | OSError):
        return DeliveryError(f"Azure Monitor could not be reached: {type(error).__name__}: {error}")
    raise error
