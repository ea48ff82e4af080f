"""From an event to its alert at Azure Monitor: 1,000 events a second, and many models that change one after the other.

All of it runs on this machine: a real Kafka broker, a producer that keeps the rate, ``pegel stream`` and ``pegel
deliver`` as processes of their own with default settings, and the local Azure Monitor. Every model has a grid and a
baseline before its first event, lives quietly, and then changes by a plain large step (``equipment/step_changes.py``).

For each alert ``opened`` the time counts from the newest event of the block that tipped the rule, as the record in the
broker is dated (by the producer, which is never later than the broker would), until the row has arrived and 204 is
answered. Azure's own leg, from there to a person, is not in it and takes minutes.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from equipment.kafka_broker import KafkaBroker
from equipment.paced_producer import PacedProducer
from equipment.step_changes import APART_SECONDS, LIFE_SECONDS, PER_SECOND, WARM_UP_SECONDS, StepChanges

from pegel.conf.loading import load_settings
from pegel.lifecycle.baseline import store
from pegel.local.azure_monitor import LocalAzureMonitor
from pegel.local.demo.services import Services
from pegel.tables.delta import DeltaTables

SEED = 7
EVENTS = 1_001_000
"""Enough for 200 changes; a trial of 20 takes 191,000."""
BAR_SECONDS = 8.0
"""The 95th percentile has to be at most this."""

HUB = "predictions"
PARTITIONS = 2
TOPICS = {HUB: PARTITIONS, "feedback": 1}
START_SECONDS = 240.0
DRAIN_SECONDS = 60.0
LOOK_SECONDS = 0.5

LEGS = ("enqueued", "stored", "decided", "claimed", "received")
"""The moments of an alert; the legs lie between them."""


def run(events: int) -> dict[str, Any]:
    """Measure it.

    Args:
        events: how many events are sent at most, the warm-up among them: they decide how many models change.

    Returns:
        ``ours`` is the 95th percentile in seconds, ``other`` the bar, and what else was measured, in seconds.

    Raises:
        RuntimeError: if the producer could not send, or no change was found.
        OutsideError: if the stream or the delivery does not start, or ends before its time.
    """
    changes = max(1, int((events / PER_SECOND - WARM_UP_SECONDS - LIFE_SECONDS) / APART_SECONDS) + 1)
    with tempfile.TemporaryDirectory(prefix="pegel-bench-") as name:
        return measure(Path(name), StepChanges(SEED, changes, datetime.now(UTC)))


def measure(folder: Path, traffic: StepChanges) -> dict[str, Any]:
    """The same in a folder that stays, for whoever wants to look into its tables and logs."""
    (folder / "kafka").mkdir()
    monitor = LocalAzureMonitor(folder / "azure-monitor", "of-this-run", evaluation_seconds=60.0)
    services = Services(folder / "logs", {"PEGEL_AZURE_MONITOR_TOKEN": "of-this-run"})
    monitor.start()
    try:
        with KafkaBroker(folder / "kafka", TOPICS) as broker:
            try:
                config = _write_settings(folder, broker, monitor)
                tables = DeltaTables(load_settings(str(config), environ={}).storage.root)
                _start(services, config, tables, traffic)
                producer = PacedProducer(broker, traffic, HUB, PARTITIONS)
                _send(producer, services, tables, monitor)
            finally:
                services.stop()
        return _result(tables, monitor, producer)
    finally:
        monitor.stop()


def _write_settings(folder: Path, broker: KafkaBroker, monitor: LocalAzureMonitor) -> Path:
    """Addresses and folders of this run; all else is as shipped."""
    secret = folder / "connection-string"
    secret.write_text(broker.password, encoding="utf-8")
    kafka = {
        "bootstrap_servers": broker.bootstrap_servers,
        "truststore_pem": broker.truststore_pem,
        "connection_string": {"file": str(secret)},
    }
    azure_monitor = {
        "endpoint": monitor.endpoint,
        "rule_id": monitor.rule_id,
        "stream_name": monitor.stream_name,
        "ca_file": monitor.ca_file,
        "token": {"env": "PEGEL_AZURE_MONITOR_TOKEN"},
    }
    sections = {
        "storage": {"root": str(folder / "tables")},
        "source": {"kind": "kafka", "kafka": kafka},
        "delivery": {"sinks": ["azure_monitor"], "azure_monitor": azure_monitor},
        "mlflow": {
            "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
            "artifact_location": (folder / "artifacts").as_uri(),
        },
        "spark": {"spark.driver.memory": "2g"},
    }
    config = folder / "settings.yml"
    config.write_text(json.dumps(sections), encoding="utf-8")
    return config


def _start(services: Services, config: Path, tables: DeltaTables, traffic: StepChanges) -> None:
    services.start("stream", "--config", str(config))
    for baseline in traffic.baselines():
        store(tables, baseline, source="what a model answers before it changes", now=datetime.now(UTC))
    services.start("deliver", "--config", str(config))
    services.wait_until(
        lambda: tables.exists("batches") and tables.exists("alerts"), "the stream made its tables", START_SECONDS
    )


def _send(producer: PacedProducer, services: Services, tables: DeltaTables, monitor: LocalAzureMonitor) -> None:
    """Send all events at their rate once the stream runs, and wait until each change is told of or has had its time."""
    # The first micro-batch loads and compiles, and is no part of what is warmed up.
    producer.send_first()
    services.wait_until(lambda: tables.version("batches") > 0, "the first micro-batch was committed", START_SECONDS)
    producer.start()
    try:
        while producer.is_alive():
            services.check()
            producer.join(LOOK_SECONDS)
        deadline = time.monotonic() + DRAIN_SECONDS
        while not _all_told(tables, monitor, producer.traffic) and time.monotonic() < deadline:
            services.check()
            time.sleep(LOOK_SECONDS)
    finally:
        producer.stop()
    if producer.failures:
        msg = f"the Kafka broker did not take all events: {producer.failures[:1]}; its log lies in its folder"
        raise RuntimeError(msg)


def _all_told(tables: DeltaTables, monitor: LocalAzureMonitor, traffic: StepChanges) -> bool:
    opened = {row["model"] for row in tables.read("alerts", "SELECT model FROM t WHERE state = 'opened'")}
    arrived = {row.row["model"] for row in list(monitor.received)}
    return all(one.model in opened and one.model in arrived for one in traffic.planted)


@dataclass(frozen=True, slots=True)
class Told:
    """An alert that arrived: its model, the column that rang loudest, and its moments as :data:`LEGS` names them."""

    model: str
    column: str
    moments: tuple[datetime, ...]

    @property
    def seconds(self) -> float:
        """From the first moment to the last."""
        return (self.moments[-1] - self.moments[0]).total_seconds()

    @property
    def legs(self) -> list[float]:
        """Seconds from each moment to the next."""
        pairs = zip(self.moments, self.moments[1:], strict=False)
        return [(after - before).total_seconds() for before, after in pairs]


def _told(tables: DeltaTables, monitor: LocalAzureMonitor) -> list[Told]:
    """All that opened and arrived, in the order of their events."""
    arrived: dict[str, datetime] = {}
    for one in monitor.received:
        arrived.setdefault(one.row["alert_id"], one.at)
    claims = tables.read("deliveries", "SELECT alert_id, at FROM t WHERE state = 'claimed' AND attempt = 1")
    claimed = {row["alert_id"]: row["at"] for row in claims}
    tipped = {
        (row["model"], row["version"], row["segment"], row["last_batch_id"]): row["last_enqueued"]
        for row in tables.read("blocks", "SELECT model, version, segment, last_batch_id, last_enqueued FROM t")
    }
    found = []
    for row in tables.read("alerts", "SELECT * FROM t WHERE state = 'opened'"):
        block = row["model"], row["version"], row["segment"], row["last_batch_id"]
        if block in tipped and row["alert_id"] in arrived:
            times = row["stored_time"], row["decided_time"], claimed[row["alert_id"]], arrived[row["alert_id"]]
            found.append(Told(row["model"], row["column"], (tipped[block], *times)))
    return sorted(found, key=lambda told: told.moments)


def _result(tables: DeltaTables, monitor: LocalAzureMonitor, producer: PacedProducer) -> dict[str, Any]:
    traffic, begun = producer.traffic, producer.begun
    changed = {one.model: begun + timedelta(seconds=one.after) for one in traffic.planted}
    columns = {one.model: one.column for one in traffic.planted}
    told = _told(tables, monitor)
    found: dict[str, Told] = {}
    for one in told:
        if one.model in changed and one.moments[0] >= changed[one.model]:
            found.setdefault(one.model, one)
    if not found:
        msg = f"none of {len(changed)} changes was found, so there is nothing to measure; {len(told)} other alerts came"
        raise RuntimeError(msg)
    seconds = [one.seconds for one in found.values()]
    since_change = [(one.moments[-1] - changed[model]).total_seconds() for model, one in found.items()]
    p95 = float(np.percentile(seconds, 95))
    return {
        "ours": round(p95, 2),
        "other": BAR_SECONDS,
        "ratio": round(p95 / BAR_SECONDS, 3),
        "unit": "s, 95th percentile of enqueued to received",
        "changes": len(changed),
        "found": len(found),
        "named_rightly": sum(one.column == columns[model] for model, one in found.items()),
        "other_alerts": len(told) - len(found),
        "event_to_alert_s": _spread(seconds),
        "change_to_alert_s": _spread(since_change),
        "legs": _legs(list(found.values())),
        "events": traffic.events,
        "events_per_second": PER_SECOND,
        "producer_behind_s": round(producer.behind, 2),
        "micro_batches": _micro_batches(tables),
    }


def _legs(found: Sequence[Told]) -> Mapping[str, Any]:
    """Of each leg: its share of all the time, and how long it took."""
    whole = sum(one.seconds for one in found)
    each = {f"{LEGS[i]}_to_{LEGS[i + 1]}": [one.legs[i] for one in found] for i in range(len(LEGS) - 1)}
    return {name: {"share": round(sum(leg) / whole, 3), **_spread(leg)} for name, leg in each.items()}


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    shares = {f"p{share}": float(np.percentile(seconds, share)) for share in (50, 95)}
    return {name: round(value, 2) for name, value in {**shares, "max": max(seconds)}.items()}


def _micro_batches(tables: DeltaTables) -> dict[str, Any]:
    counts = [row["stored"] for row in tables.read("batches", "SELECT stored FROM t")]
    print(f"event_to_alert: events of each micro-batch: {counts}", file=sys.stderr)
    return {"count": len(counts), "events_p50": statistics.median(counts), "events_max": max(counts)}
