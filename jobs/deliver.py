"""Send alerts to the sinks and final metrics to MLflow: ``pegel deliver --config FILE [--again ALERT_ID]``.

Reads tables and writes ``deliveries``, ``pipeline_alerts`` (whether the stream lives) and its audit trail. The heads of
all audit chains leave with each alert and are kept in MLflow. Each sink is served in a thread of its own, and what goes
to MLflow in another, so that none that is slow or down keeps an alert back from the others.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pegel.alerts.delivery.again import let_wait_again
from pegel.alerts.delivery.azure_monitor import AzureMonitorSink
from pegel.alerts.delivery.dispatcher import Dispatcher
from pegel.alerts.delivery.jsonl import JsonLinesSink
from pegel.alerts.delivery.outbox import JITTER, Backoff
from pegel.alerts.delivery.outgoing_webhook import WebhookSink
from pegel.alerts.delivery.sink import Sink
from pegel.alerts.policy import load_policy
from pegel.alerts.stream_watch import StreamWatch
from pegel.conf.delivery_settings import DeliverySettings
from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.jobs.wiring.background import Background
from pegel.jobs.wiring.erasing import open_owned
from pegel.jobs.wiring.person import user_of_machine
from pegel.jobs.wiring.stopping import stop_event
from pegel.jobs.wiring.tracking import build_tracking
from pegel.tables.access import open_tables
from pegel.tables.audit import AuditTrail
from pegel.tables.audit_heads import AuditHeads
from pegel.tables.lease import Lease

_log = logging.getLogger(__name__)

_TRACKING_PATIENCE_SECONDS = 10
_SINK_PATIENCE_SECONDS = 60
"""An attempt that runs is waited for when the job ends, since its receipt would be lost."""
_TRACKING_ONCE_SECONDS = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Deliver until the job is stopped; with ``--available-now`` send what waits, whatever its next attempt, and stop.

    Raises:
        SettingsError: if a sink is not described, or another process delivers.
        NotGivenUpError: if an alert that shall be sent again was not given up.
        OutsideError: with ``--available-now``, if an alert could not be sent.
    """
    parser = build_parser("deliver", "Send alerts to Azure Monitor and final metrics to MLflow.")
    again = "send an alert once more that was given up; may be said several times, while no other process delivers"
    parser.add_argument("--again", action="append", default=[], metavar="ALERT_ID", help=again)
    parser.add_argument("--by", default=None, metavar="NAME", help="who asks; without it the user of this machine")
    arguments = parse(parser, argv)
    settings, options = arguments.settings, arguments.options
    tables = open_tables(settings.storage)
    trail = build_trail(settings, tables, "deliver")
    dispatchers = build_dispatchers(settings, trail)
    track = build_tracking(tables, settings)
    look = build_stream_watch(settings).look
    trail.start()
    try:
        for alert_id in dict.fromkeys(options.again):
            by, now = options.by or user_of_machine(), datetime.now(UTC)
            sinks = let_wait_again(tables, alert_id, settings.delivery.sinks, by=by, now=now, trail=trail)
            _log.info("alert %s is sent again to %s", alert_id, ", ".join(sinks))
        if arguments.available_now:
            return deliver_once(dispatchers, track, look)
        deliver(dispatchers, track, settings.delivery.poll_seconds, stop_event(), look)
    finally:
        trail.close()
    return 0


def build_dispatchers(settings: Settings, trail: AuditTrail) -> list[Dispatcher]:
    """One for each sink, with a view of the tables of its own, so that each can have a thread."""
    made = []
    backoff = Backoff(
        settings.delivery.backoff_cap_seconds, settings.delivery.max_attempts, JITTER, settings.storage.root
    )
    for sink in build_sinks(settings.delivery):
        tables = open_tables(settings.storage)
        heads = AuditHeads(tables, settings.audit.writers)
        repeat = settings.delivery.repeat_seconds
        made.append(Dispatcher(tables, [sink], backoff, repeat_seconds=repeat, trail=trail, audit_heads=heads.read))
    return made


def build_stream_watch(settings: Settings) -> StreamWatch:
    """With a view of the tables of its own.

    Raises:
        SettingsError: if the policy cannot be read.
    """
    lease = Lease(open_owned(settings), "deliver")
    return StreamWatch(open_tables(settings.storage), load_policy(settings.watch.policy), lease.holder)


def build_sinks(settings: DeliverySettings) -> list[Sink]:
    """The sinks that the settings name, in their order."""
    made: dict[str, Callable[[], Sink]] = {
        AzureMonitorSink.name: lambda: AzureMonitorSink(settings.azure_monitor),
        WebhookSink.name: lambda: WebhookSink(settings.webhook),
        JsonLinesSink.name: lambda: JsonLinesSink(settings.jsonl_path),
    }
    return [made[name]() for name in dict.fromkeys(settings.sinks)]


def deliver(
    dispatchers: Sequence[Dispatcher],
    track: Callable[[], None],
    poll_seconds: float,
    stop: threading.Event,
    look: Callable[[], object] = lambda: None,
) -> None:
    """Deliver, and track and look after the stream once per turn, until ``stop`` is set.

    What is down is tried again at the next turn.
    """
    delivering = [Background(dispatcher.step, "alerts wait") for dispatcher in dispatchers]
    tracking = _tracking(track)
    looking = Background(look, "nobody sees whether the stream lives")
    while not stop.is_set():
        for turns in (*delivering, tracking, looking):
            turns.turn()
        stop.wait(poll_seconds)
    for turns in delivering:
        turns.wait(_SINK_PATIENCE_SECONDS)
    tracking.wait(_TRACKING_PATIENCE_SECONDS)


def deliver_once(
    dispatchers: Sequence[Dispatcher], track: Callable[[], None], look: Callable[[], object] = lambda: None
) -> int:
    """Send everything that waits, once.

    Raises:
        OutsideError: if something could not be sent.
    """
    try:
        look()
    except Exception as error:  # what was found before has to leave, whatever is wrong with looking
        _log.warning("nobody saw whether the stream lives: %s: %s", type(error).__name__, error)
    done = [dispatcher.step(ignore_backoff=True) for dispatcher in dispatchers]
    sent, waiting, dead = (sum(getattr(one, name) for one in done) for name in ("sent", "waiting", "dead"))
    tracking = _tracking(track)
    tracking.turn()
    tracking.wait(_TRACKING_ONCE_SECONDS)
    if waiting or dead:
        msg = (
            f"{waiting} alerts could not be sent and {dead} were given up; the table deliveries says why, "
            "and the next start tries those that wait again"
        )
        raise OutsideError(msg)
    _log.info("%d alerts sent", sent)
    return 0


def _tracking(track: Callable[[], None]) -> Background:
    return Background(track, "metrics or audit heads did not reach MLflow, they stay in their tables")


if __name__ == "__main__":
    exit_with(main)
