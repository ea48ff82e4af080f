"""Approve a proposed retraining: ``pegel approve INCIDENT``. Wiring."""

import getpass
import sys
from collections.abc import Sequence

from pegel.alerts.standard_webhooks import decode_secret
from pegel.alerts.webhook.approving import send_approval
from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse

_SECRETS = "webhook.approver_secrets"


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the webhook that a person lets the retraining of an incident start.

    Raises:
        SettingsError: if there is no approver's secret, or the URL is an open line.
        OutsideError: if the webhook does not take it; the message says why.
    """
    parser = build_parser("approve", "Let the proposed retraining of an incident start.")
    parser.add_argument("incident", metavar="INCIDENT", help="its id")
    parser.add_argument("--by", default=None, metavar="NAME", help="who approves; without it the user of this machine")
    parser.add_argument("--url", help="where the webhook is reached; without it on this machine, at webhook.port")
    arguments = parse(parser, argv)
    settings, options = arguments.settings.webhook, arguments.options
    if not settings.approver_secrets:
        msg = f"{_SECRETS} is empty; name the secret that the webhook knows as an approver's"
        raise SettingsError(msg)
    key = decode_secret(settings.approver_secrets[0].read(), _SECRETS)
    url = options.url or f"http://127.0.0.1:{settings.port}"
    said = send_approval(url, key, options.incident, options.by or _user())
    sys.stdout.write(f"incident {options.incident}: {said}\n")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        msg = "the user of this machine has no name; give that of who approves with --by"
        raise SettingsError(msg) from None


if __name__ == "__main__":
    exit_with(main)
