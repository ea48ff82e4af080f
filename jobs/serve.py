"""``pegel serve``: ``/predict`` with the champion of the registry. Wiring."""

import socket
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.serving.app import Serving, create_app
from pegel.serving.champion import Champion
from pegel.serving.hub_sender import HubSender
from pegel.serving.producer import EventProducer
from pegel.serving.spool import Spool

SHUTDOWN_SECONDS = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; with ``--available-now`` only see that the champion loads and answers."""
    arguments = parse(build_parser("serve", "Serve /predict with the champion of the registry."), argv)
    settings = arguments.settings
    serving = Serving(
        settings,
        Champion(settings),
        _producer(settings, settings.source.predictions_hub),
        _producer(settings, settings.source.feedback_hub),
    )
    if arguments.available_now:
        if not serving.champion.poll():
            msg = f"the champion of {settings.model.name!r} does not load: {serving.champion.problem}"
            raise OutsideError(msg)
        return 0
    listener = _listen(settings)
    config = uvicorn.Config(
        create_app(serving), log_config=None, access_log=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _producer(settings: Settings, hub: str) -> EventProducer:
    return EventProducer(
        hub,
        HubSender(settings.source.eventhubs.connection_string, hub),
        Spool(Path(settings.serving.spool) / hub),
        flush_seconds=settings.serving.flush_seconds,
        max_buffered_events=settings.serving.max_buffered_events,
    )


def _listen(settings: Settings) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.serving.host, settings.serving.port))
    except OSError as error:
        listener.close()
        msg = (
            f"cannot listen on {settings.serving.host}:{settings.serving.port}: {error.strerror}; "
            "stop what listens there, or set serving.port"
        )
        raise OutsideError(msg) from error
    return listener


if __name__ == "__main__":
    exit_with(main)
