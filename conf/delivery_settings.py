"""The settings of the delivery: where alerts go, and how patiently. Pure."""

from ipaddress import ip_network
from typing import Literal

from pydantic import Field, field_validator

from pegel.conf.secret_ref import SecretRef
from pegel.conf.section import Section


class AzureMonitorSettings(Section):
    """The Logs Ingestion endpoint, its data collection rule and stream."""

    endpoint: str = ""
    rule_id: str = ""
    stream_name: str = "Custom-PegelAlerts"
    ca_file: str | None = None
    token: SecretRef | None = None
    """A bearer token to use as it is; without it ``DefaultAzureCredential`` asks for one."""
    timeout_seconds: float = Field(default=30.0, gt=0)


class OutgoingWebhookSettings(Section):
    """An endpoint of your own, called as Standard Webhooks says."""

    url: str = ""
    secrets: tuple[SecretRef, ...] = Field(default=(), max_length=2)
    """``whsec_`` and Base64; two while one replaces the other, since each call is signed with every one of them."""
    ca_file: str | None = None
    allowed_networks: tuple[str, ...] = ()
    """Networks that are not public and may be called all the same."""
    timeout_seconds: float = Field(default=15.0, gt=0)

    @field_validator("allowed_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)


class DeliverySettings(Section):
    """How alerts leave: the sinks, and how patient the dispatcher is.

    Azure Monitor is told again of an incident that is still open every `repeat_seconds`, since its rules look back two
    days at most. The `webhook` signs its calls as Standard Webhooks says (docs/delivery.md). It calls public addresses
    by https, and others only if `allowed_networks` names them, e.g. `10.1.0.0/16`; http only on this machine.
    """

    sinks: tuple[Literal["azure_monitor", "webhook", "jsonl"], ...] = ("azure_monitor",)
    poll_seconds: float = Field(default=2.0, gt=0)
    max_attempts: int = Field(default=500, gt=0)
    """With the cap of a minute this is about six hours: an alert must outlive the outage of what it is sent to."""
    backoff_cap_seconds: float = Field(default=60.0, gt=0)
    repeat_seconds: float = Field(default=4 * 3600.0, gt=0, lt=2 * 24 * 3600.0)
    jsonl_path: str = ".pegel/alerts.jsonl"
    azure_monitor: AzureMonitorSettings = AzureMonitorSettings()
    webhook: OutgoingWebhookSettings = OutgoingWebhookSettings()
