"""The bundle as a workspace would get it: its variables put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[2] / "databricks.yml"

GIVEN = {
    "spark_version": "18.0.x-scala2.13",
    "tables_root": "abfss://pegel@account.dfs.core.windows.net/tables",
    "kafka_servers": "namespace.servicebus.windows.net:9093",
    "eventhubs_host": "namespace.servicebus.windows.net",
    "ingestion_endpoint": "https://pegel-alerts.westeurope-1.ingest.monitor.azure.com",
    "ingestion_rule_id": "dcr-0123456789abcdef",
    "model_name": "main.pegel.assistant",
    "run_as": "11111111-1111-1111-1111-111111111111",
    "webhook_client_id": "22222222-2222-2222-2222-222222222222",
    "notify_email": "on-call@example.org",
}
"""Values for the variables without a default, of the form that the deployment gives them."""

REFERENCE = re.compile(r"\$\{([\w.]+)\}", re.ASCII)


def read_bundle() -> dict[str, Any]:
    """The file as it is."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def resolved_bundle() -> dict[str, Any]:
    """The file with its variables put in, for the target prod."""
    bundle = read_bundle()
    values = {f"var.{name}": GIVEN.get(name, of.get("default")) for name, of in bundle["variables"].items()}
    values |= {"bundle.name": bundle["bundle"]["name"], "bundle.target": "prod"}
    resolved: dict[str, Any] = _resolved(bundle, values)
    return resolved


def _resolved(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _resolved(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolved(value, values) for value in node]
    return REFERENCE.sub(lambda match: values[match[1]], node) if isinstance(node, str) else node
