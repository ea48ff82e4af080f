"""``pegel serve``: ``/predict`` with the champion of the registry. Wiring."""

from collections.abc import Sequence
from pathlib import Path

from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.web_server import listen, serve
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.hub_sender import HubSender
from pegel.serving.producer import EventProducer
from pegel.serving.service import Serving
from pegel.serving.spool import Spool


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; with ``--available-now`` only see that the champion loads and answers.

    Raises:
        OutsideError: if the port is taken, or with ``--available-now`` if the champion does not load.
    """
    arguments = parse(build_parser("serve", "Serve /predict with the champion of the registry."), argv)
    settings = arguments.settings
    champion = Champion(settings)
    if arguments.available_now:
        if not champion.poll():
            msg = f"the champion of {settings.model.name!r} does not load: {champion.problem}"
            raise OutsideError(msg)
        return 0
    taken = listen(settings.serving.host, settings.serving.port, "serving")
    hubs = settings.source
    predictions, feedback = _producer(settings, hubs.predictions_hub), _producer(settings, hubs.feedback_hub)
    serve(create_app(Serving(settings, champion, predictions, feedback)), taken, "serving")
    return 0


def _producer(settings: Settings, hub: str) -> EventProducer:
    return EventProducer(
        hub,
        HubSender(settings.source.eventhubs.connection_string, hub, settings.source.eventhubs.namespace),
        Spool(Path(settings.serving.spool) / hub),
        flush_seconds=settings.serving.flush_seconds,
        max_buffered_events=settings.serving.max_buffered_events,
    )


if __name__ == "__main__":
    exit_with(main)
