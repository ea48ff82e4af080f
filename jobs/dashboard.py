"""Show health, incidents and drift as pages: ``pegel dashboard --config FILE``. Reads the tables, writes nothing."""

import ipaddress
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.web_server import listen, serve
from pegel.tables.access import open_tables


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the pages until the job is stopped; with ``--available-now`` print the overview as JSON and stop.

    Raises:
        SettingsError: if the pages would be seen from other machines, since they have no login.
        OutsideError: if the port is taken, or with ``--available-now`` if the tables cannot be read.
    """
    arguments = parse(build_parser("dashboard", "Show health, incidents and drift as pages."), argv)
    settings = arguments.settings
    if arguments.available_now:
        return _print_overview(settings)
    _require_loopback(settings.dashboard.host)
    taken = listen(settings.dashboard.host, settings.dashboard.port, "dashboard")
    from pegel.dashboard.app import create_app

    serve(create_app(open_tables(settings.storage), settings), taken, "dashboard")
    return 0


def _print_overview(settings: Settings) -> int:
    from pegel.dashboard.app import Pages, overview_json

    overview = Pages(open_tables(settings.storage), settings, lambda: datetime.now(UTC)).overview(0, None)
    if overview.problem:
        msg = f"the tables under {settings.storage.root} cannot be read: {overview.problem}; check the storage"
        raise OutsideError(msg)
    sys.stdout.write(overview_json(overview).decode() + "\n")
    return 0


def _require_loopback(host: str) -> None:
    try:
        private = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        private = False
    if not private:
        msg = (
            f"dashboard.host is {host!r}, but the pages have no login, so only 127.0.0.1, ::1 and localhost are taken; "
            "reach them from elsewhere through an SSH tunnel"
        )
        raise SettingsError(msg)


if __name__ == "__main__":
    exit_with(main)
