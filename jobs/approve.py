"""Approve a proposed retraining: ``pegel approve INCIDENT``. Wiring."""

import sys
from collections.abc import Sequence

from pegel.alerts.webhook.approving import send_approval
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.person import add_person, person_of


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the webhook that a person lets the retraining of an incident start.

    Raises:
        SettingsError: if there is no approver's secret, or the URL is an open line.
        OutsideError: if the webhook does not take it; the message says why.
    """
    parser = build_parser("approve", "Let the proposed retraining of an incident start.")
    parser.add_argument("incident", metavar="INCIDENT", help="its id")
    add_person(parser, "approves")
    arguments = parse(parser, argv)
    person, incident = person_of(arguments.settings.webhook, arguments.options), arguments.options.incident
    said = send_approval(person.url, person.key, incident, person.by)
    sys.stdout.write(f"incident {incident}: {said}\n")
    return 0


if __name__ == "__main__":
    exit_with(main)
