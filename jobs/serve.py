"""``pegel serve``: ``/predict`` with the champion of the registry. Wiring."""

from collections.abc import Sequence
from pathlib import Path

from pegel.conf.bearer_token import TokenCheck
from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.jobs.wiring.web_server import listen, serve
from pegel.serving.app import create_app
from pegel.serving.champion import Champion
from pegel.serving.gate import Gate
from pegel.serving.hub_sender import HubSender
from pegel.serving.producer import EventProducer
from pegel.serving.responsive import keep_out_of_collections, take_short_turns
from pegel.serving.service import Serving
from pegel.serving.spool import Spool
from pegel.serving.tracing import Tracing
from pegel.serving.usage import load_usage, require_callers
from pegel.tables.access import open_tables


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; with ``--available-now`` only see that the champion loads and answers.

    Raises:
        SettingsError: if the usage policy cannot be read, or names nobody while others than this machine could ask.
        OutsideError: if the port is taken, or with ``--available-now`` if the champion does not load.
    """
    arguments = parse(build_parser("serve", "Serve /predict with the champion of the registry."), argv)
    settings = arguments.settings
    champion = Champion(settings, keep_out_of_collections)
    if arguments.available_now:
        if not champion.poll():
            msg = f"the champion of {settings.model.name!r} does not load: {champion.problem}"
            raise OutsideError(msg)
        return 0
    policy, credentials = load_usage(settings.serving.policy)
    require_callers(settings.serving.host, policy)
    tokens = TokenCheck(settings.serving.tokens, "serving.tokens") if credentials.need_tokens else None
    taken = listen(settings.serving.host, settings.serving.port, "serving")
    tables = open_tables(settings.storage)
    trail = build_trail(settings, tables, settings.serving.audit_writer)
    gate = Gate(settings.model.name, policy=policy, credentials=credentials, tokens=tokens, trail=trail)
    hubs = settings.source
    predictions, feedback = _producer(settings, hubs.predictions_hub), _producer(settings, hubs.feedback_hub)
    tracing = Tracing(settings)
    gate.metrics.watch_traces(tracing.counts)
    serving = Serving(settings, champion, predictions, feedback, gate, arounds=(tracing,), listeners=(tracing.attach,))
    take_short_turns()
    trail.start()
    tracing.start()
    try:
        serve(create_app(serving), taken, "serving")
    finally:
        tracing.close()
        trail.close()
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
