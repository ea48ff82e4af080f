"""Who decides at the command line: the name, the secret, and where the webhook is reached. Wiring."""

import argparse
import getpass
from dataclasses import dataclass

from pegel.alerts.standard_webhooks import decode_secret
from pegel.conf.settings import WebhookSettings
from pegel.errors import SettingsError

_SECRETS = "webhook.approver_secrets"


@dataclass(frozen=True, slots=True)
class Person:
    """Who decides.

    Attributes:
        by: the name; it goes into the audit trail.
        key: of an approver.
        url: where the webhook is reached, without a path.
    """

    by: str
    key: bytes
    url: str


def add_person(parser: argparse.ArgumentParser, does: str) -> None:
    """Add ``--by`` and ``--url``."""
    parser.add_argument("--by", default=None, metavar="NAME", help=f"who {does}; without it the user of this machine")
    parser.add_argument("--url", help="where the webhook is reached; without it on this machine, at webhook.port")


def person_of(settings: WebhookSettings, options: argparse.Namespace) -> Person:
    """The person that the arguments and the settings name.

    Raises:
        SettingsError: if there is no approver's secret, or the person has no name.
    """
    if not settings.approver_secrets:
        msg = f"{_SECRETS} is empty; name the secret that the webhook knows as an approver's"
        raise SettingsError(msg)
    key = decode_secret(settings.approver_secrets[0].read(), _SECRETS)
    return Person(options.by or user_of_machine(), key, options.url or f"http://127.0.0.1:{settings.port}")


def user_of_machine() -> str:
    """The name of the user of this machine.

    Raises:
        SettingsError: if there is none, as in a container.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        msg = "the user of this machine has no name; give that of who decides with --by"
        raise SettingsError(msg) from None
