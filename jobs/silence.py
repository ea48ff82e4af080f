"""Silence alerts for some time, or end a silence: ``pegel silence MODEL --for 2h --reason TEXT``. Wiring."""

import argparse
import re
import sys
import uuid
from collections.abc import Sequence

from pegel.alerts.incident import PIPELINE
from pegel.alerts.webhook.approving import send_wish
from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.person import Person, add_person, person_of
from pegel.schemas.silences import ANY, Wish

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_LASTS = re.compile(r"([0-9]{1,6})([mhd])")


def main(argv: Sequence[str] | None = None) -> int:
    """Keep alerts from being sent; they are still decided and recorded, and what is still open is sent afterwards.

    Raises:
        SettingsError: if it is not said what, for how long and why, there is no approver's secret, or the URL is an
            open line.
        OutsideError: if the webhook does not take it; the message says why.
    """
    parser = build_parser("silence", "Keep alerts of a model or a rule from being sent, for some time.")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="of which model; '*' for all and for the pipeline")
    parser.add_argument("--rule", default=ANY, metavar="NAME", help="of which rule of the policy; without it of all")
    parser.add_argument("--for", dest="lasts", metavar="TIME", help="how long: 30m, 2h, 7d; at most 30 days")
    parser.add_argument("--reason", metavar="TEXT", help="why; it stands beside each alert that is not sent")
    parser.add_argument("--end", metavar="ID", help="end the silence of this id now")
    add_person(parser, "asks for it")
    arguments = parse(parser, argv)
    person = person_of(arguments.settings.webhook, arguments.options)
    wish = _end(arguments.options, person) if arguments.options.end else _begin(arguments.options, person)
    sys.stdout.write(f"{send_wish(person.url, person.key, wish)}\n")
    if wish.get("model") == PIPELINE:
        sys.stdout.write("a fault of the pipeline is silenced too, and while one is open, drift is still held back\n")
    return 0


def _begin(options: argparse.Namespace, person: Person) -> dict[str, object]:
    if not (options.model and options.lasts and options.reason):
        msg = "say of which MODEL nothing is to be heard, --for how long and for which --reason, or which one to --end"
        raise SettingsError(msg)
    return {
        "wish": Wish.SILENCE.value,
        "silence_id": uuid.uuid4().hex[:16],
        "model": options.model,
        "rule": options.rule,
        "seconds": seconds_of(options.lasts),
        "by": person.by,
        "reason": options.reason,
    }


def _end(options: argparse.Namespace, person: Person) -> dict[str, object]:
    reason = options.reason or "ended early"
    return {"wish": Wish.END.value, "silence_id": options.end, "by": person.by, "reason": reason}


def seconds_of(text: str) -> float:
    """How long a text says.

    Raises:
        SettingsError: if it says nothing of the kind.

    Example:
        >>> seconds_of("2h")
        7200.0
    """
    found = _LASTS.fullmatch(text)
    if found is None:
        msg = f"--for {text!r} is no time; write minutes, hours or days, such as 30m, 2h or 7d"
        raise SettingsError(msg)
    return float(found[1]) * _UNITS[found[2]]


if __name__ == "__main__":
    exit_with(main)
