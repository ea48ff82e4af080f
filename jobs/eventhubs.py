"""Run a local Event Hubs that speaks AMQP 1.0, until it is told to stop. Wiring.

Standard output has one line, the connection string; everything else goes to the log on standard error::

    pegel eventhubs --hub predictions:4 --hub feedback:2
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pegel.conf.secret_ref import SecretRef
from pegel.conf.settings import SourceSettings
from pegel.errors import SettingsError
from pegel.jobs.wiring import arguments
from pegel.jobs.wiring.arguments import exit_with, parse
from pegel.local.eventhubs.server import (
    DEFAULT_PORT,
    EMULATOR_KEY,
    EMULATOR_KEY_NAME,
    EventHubsServer,
    connection_string,
)

LOG = logging.getLogger(__name__)

DEFAULT_PARTITIONS = 2


def build_parser() -> argparse.ArgumentParser:
    """The arguments of this job."""
    parser = arguments.build_parser("eventhubs", "Run a local Event Hubs that speaks AMQP 1.0.")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"on 127.0.0.1 (default: {DEFAULT_PORT})")
    parser.add_argument("--data", type=Path, default=Path(".pegel/eventhubs"), help="the folder of the events")
    parser.add_argument(
        "--hub", action="append", default=[], metavar="NAME:PARTITIONS", dest="hubs",
        help=f"a hub; without any, the two of the settings with {DEFAULT_PARTITIONS} partitions each",
    )  # fmt: skip
    parser.add_argument(
        "--consumer-group", action="append", default=[], metavar="NAME", dest="groups", help="beside $Default"
    )
    parser.add_argument("--key-name", default=EMULATOR_KEY_NAME, help="the name of the access rule")
    parser.add_argument(
        "--key-env", metavar="VARIABLE", help="the variable that holds the rule's key (default: the emulator's key)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Start, print the connection string, and run until SIGTERM or SIGINT.

    Raises:
        OutsideError: if the port is taken or the folder cannot be used.
        SettingsError: if an argument makes no sense.
    """
    job = parse(build_parser(), argv)
    options = job.options
    key = SecretRef(env=options.key_env).read() if options.key_env else EMULATOR_KEY
    server = EventHubsServer(
        _hubs(options.hubs, job.settings.source), options.data, options.port,
        key_name=options.key_name, key=key, consumer_groups=options.groups,
    )  # fmt: skip
    # A key that somebody chose is not for the screen: whoever chose it can put it in.
    shown = key if not options.key_env else f"<the value of {options.key_env}>"
    asyncio.run(_serve(server, options.key_name, shown, stop_at_once=job.available_now))
    return 0


async def _serve(server: EventHubsServer, key_name: str, shown: str, *, stop_at_once: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    sys.stdout.write(connection_string(server.port, key_name, shown) + "\n")
    sys.stdout.flush()
    if not stop_at_once:
        LOG.info("listening on port %d; stop with Ctrl-C", server.port)
        await stop.wait()
    await server.stop()


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        msg = f"{text!r} is no port; it can be 1 to 65535, or 0 for a free one"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _hubs(texts: Sequence[str], source: SourceSettings) -> dict[str, int]:
    if not texts:
        return dict.fromkeys((source.predictions_hub, source.feedback_hub), DEFAULT_PARTITIONS)
    hubs = {}
    for text in texts:
        name, _, count = text.partition(":")
        if not count.isdecimal():
            msg = f"--hub {text!r} does not say how many partitions; write NAME:PARTITIONS, such as predictions:4"
            raise SettingsError(msg)
        hubs[name] = int(count)
    return hubs


if __name__ == "__main__":
    exit_with(main)
