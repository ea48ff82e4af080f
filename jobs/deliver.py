"""Send alerts to the sinks and final metrics to MLflow: ``pegel deliver --config FILE``.

Reads tables and writes ``deliveries`` and its audit trail. The heads of all audit chains leave with each alert and are
kept in MLflow. What goes to MLflow goes beside the alerts, so that a slow MLflow never keeps an alert back.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from pegel.alerts.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery import Dispatcher
from pegel.alerts.jsonl import JsonLinesSink
from pegel.alerts.outbox import JITTER, Backoff
from pegel.alerts.outgoing_webhook import WebhookSink
from pegel.alerts.sink import Sink
from pegel.conf.delivery_settings import DeliverySettings
from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.jobs.wiring.background import Background
from pegel.jobs.wiring.stopping import stop_event
from pegel.jobs.wiring.tracking import build_tracking
from pegel.tables.access import open_tables
from pegel.tables.audit_heads import AuditHeads

_log = logging.getLogger(__name__)

_TRACKING_PATIENCE_SECONDS = 10
_TRACKING_ONCE_SECONDS = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Deliver until the job is stopped; with ``--available-now`` send what waits, whatever its next attempt, and stop.

    Raises:
        SettingsError: if a sink is not described, or another process delivers.
        OutsideError: with ``--available-now``, if an alert could not be sent.
    """
    arguments = parse(build_parser("deliver", "Send alerts to Azure Monitor and final metrics to MLflow."), argv)
    settings = arguments.settings
    tables = open_tables(settings.storage)
    backoff = Backoff(
        settings.delivery.backoff_cap_seconds, settings.delivery.max_attempts, JITTER, settings.storage.root
    )
    trail = build_trail(settings, tables, "deliver")
    heads = AuditHeads(tables, settings.audit.writers)
    sinks = build_sinks(settings.delivery)
    dispatcher = Dispatcher(
        tables, sinks, backoff, repeat_seconds=settings.delivery.repeat_seconds, trail=trail, audit_heads=heads.read
    )
    track = build_tracking(tables, settings)
    trail.start()
    try:
        if arguments.available_now:
            return deliver_once(dispatcher, track)
        deliver(dispatcher, track, settings.delivery.poll_seconds, stop_event())
    finally:
        trail.close()
    return 0


def build_sinks(settings: DeliverySettings) -> list[Sink]:
    """The sinks that the settings name, in their order."""
    made: dict[str, Callable[[], Sink]] = {
        AzureMonitorSink.name: lambda: AzureMonitorSink(settings.azure_monitor),
        WebhookSink.name: lambda: WebhookSink(settings.webhook),
        JsonLinesSink.name: lambda: JsonLinesSink(settings.jsonl_path),
    }
    return [made[name]() for name in dict.fromkeys(settings.sinks)]


def deliver(dispatcher: Dispatcher, track: Callable[[], None], poll_seconds: float, stop: threading.Event) -> None:
    """Deliver, and track once per turn, until ``stop`` is set; what is down is tried again at the next turn."""
    tracking = _tracking(track)
    while not stop.is_set():
        try:
            dispatcher.step()
        except OutsideError as error:
            _log.warning("alerts wait, a table could not be read or written: %s", error)
        tracking.turn()
        stop.wait(poll_seconds)
    tracking.wait(_TRACKING_PATIENCE_SECONDS)


def deliver_once(dispatcher: Dispatcher, track: Callable[[], None]) -> int:
    """Send everything that waits, once.

    Raises:
        OutsideError: if something could not be sent.
    """
    done = dispatcher.step(ignore_backoff=True)
    tracking = _tracking(track)
    tracking.turn()
    tracking.wait(_TRACKING_ONCE_SECONDS)
    if done.waiting or done.dead:
        msg = (
            f"{done.waiting} alerts could not be sent and {done.dead} were given up; the table deliveries says why, "
            "and the next start tries those that wait again"
        )
        raise OutsideError(msg)
    _log.info("%d alerts sent", done.sent)
    return 0


def _tracking(track: Callable[[], None]) -> Background:
    return Background(track, "metrics or audit heads did not reach MLflow, they stay in their tables")


if __name__ == "__main__":
    exit_with(main)
