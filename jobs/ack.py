"""Acknowledge an incident: ``pegel ack INCIDENT``. Wiring."""

import sys
import uuid
from collections.abc import Sequence

from pegel.alerts.webhook.approving import send_wish
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.person import add_person, person_of
from pegel.schemas.silences import Wish


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the webhook that a person looks after an incident: the dashboard and ``pegel explain`` show it.

    Raises:
        SettingsError: if there is no approver's secret, or the URL is an open line.
        OutsideError: if the webhook does not take it; the message says why.
    """
    parser = build_parser("ack", "Say that somebody looks after an incident; the dashboard and pegel explain show it.")
    parser.add_argument("incident", metavar="INCIDENT", help="its id")
    parser.add_argument("--reason", default="looked after", metavar="TEXT", help="what is done about it")
    add_person(parser, "looks after it")
    arguments = parse(parser, argv)
    options = arguments.options
    person = person_of(arguments.settings.webhook, options)
    wish = {
        "wish": Wish.ACKNOWLEDGE.value,
        "silence_id": uuid.uuid4().hex[:16],
        "incident_id": options.incident,
        "by": person.by,
        "reason": options.reason,
    }
    sys.stdout.write(f"incident {options.incident}: {send_wish(person.url, person.key, wish)}\n")
    return 0


if __name__ == "__main__":
    exit_with(main)
