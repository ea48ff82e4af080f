"""Look into refused events and send them again: ``pegel dead-letters list|show|requeue --config FILE``. Wiring."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pegel.conf.settings import Settings
from pegel.errors import SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.jobs.wiring.dead_letter_output import as_json, as_table, report_lines, shown
from pegel.jobs.wiring.hubs_again import HubSenders, build_reread
from pegel.schemas.dead_letters import Choice, read_moment, read_places
from pegel.schemas.events import REASONS
from pegel.tables.access import open_tables
from pegel.tables.dead_letters import read_bodies, read_dead_letters
from pegel.tables.delta import DeltaTables
from pegel.tables.requeue import Requeue, plan

LISTED = 50


def main(argv: Sequence[str] | None = None) -> int:
    """List what was refused, show an event whole, or send some again.

    Returns:
        0 if all went well; 1 if an event to show is not there, or one to send could not be sent.

    Raises:
        SettingsError: if an argument makes no sense, or another process requeues on this machine.
        OutsideError: if a table or a hub cannot be reached.
    """
    arguments = parse(_parser(), argv)
    options, settings = arguments.options, arguments.settings
    choice = _choice(options)
    tables = open_tables(settings.storage)
    if options.what == "list":
        return _list(tables, choice, options.output)
    if not options.events and (options.what == "show" or (choice.is_everything and not options.all)):
        msg = f"say which dead letters to {options.what}: HUB/PARTITION/OFFSET"
        raise SettingsError(msg if options.what == "show" else f"{msg}, --reason, --since, or --all for every one")
    if options.what == "show":
        return _show(tables, choice)
    return _requeue(settings, tables, choice, options)


def _parser() -> argparse.ArgumentParser:
    parser = build_parser("dead-letters", "List, show and requeue refused events.")
    parser.add_argument("what", choices=["list", "show", "requeue"], help="what to do")
    parser.add_argument(
        "events", nargs="*", metavar="HUB/PARTITION/OFFSET", help="which events; all that match if none"
    )
    parser.add_argument(
        "--reason", action="append", default=[], choices=REASONS, help="of this reason; may be repeated"
    )
    parser.add_argument("--hub", default="", help="of this hub")
    parser.add_argument("--since", metavar="TIME", help="enqueued then or later: 2026-11-27T10:00Z, or 90m, 2h, 7d ago")
    parser.add_argument("--until", metavar="TIME", help="enqueued before then")
    parser.add_argument("--limit", type=int, help=f"at most so many, the newest (list: {LISTED} unless told otherwise)")
    parser.add_argument("--output", choices=["table", "json"], default="table", help="of list (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="requeue every one, whatever its reason and time")
    parser.add_argument("--from-hub", action="store_true", help="send what the hub still holds, not the masked body")
    parser.add_argument("--again", action="store_true", help="send also what was sent before, or may have been")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    return parser


def _choice(options: argparse.Namespace) -> Choice:
    now = datetime.now(UTC)
    if options.limit is not None and options.limit < 1:
        msg = f"--limit {options.limit} gives nothing; use 1 or more"
        raise SettingsError(msg)
    return Choice(
        read_places(options.events),
        frozenset(options.reason),
        options.hub,
        None if options.since is None else read_moment(options.since, now),
        None if options.until is None else read_moment(options.until, now),
        options.limit or (LISTED if options.what == "list" else None),
    )


def _list(tables: DeltaTables, choice: Choice, output: str) -> int:
    letters = read_dead_letters(tables, choice)
    sys.stdout.write(as_json(letters) if output == "json" else as_table(letters))
    return 0


def _show(tables: DeltaTables, choice: Choice) -> int:
    letters = read_dead_letters(tables, choice)
    bodies = read_bodies(tables, letters)
    for letter in letters:
        sys.stdout.write(shown(letter, bodies.get(letter.place)))
    missing = choice.places - {letter.place for letter in letters}
    for place in sorted(missing):
        sys.stderr.write(f"pegel: there is no dead letter {place}; see pegel dead-letters list\n")
    return int(bool(missing))


def _requeue(settings: Settings, tables: DeltaTables, choice: Choice, options: argparse.Namespace) -> int:
    if options.dry_run:
        _, report = plan(tables, choice, again=options.again)
        sys.stdout.write("".join(report_lines(report, is_dry=True)))
        return 0
    trail = build_trail(settings, tables, "dead_letters")
    trail.start()
    senders = HubSenders(settings.source.eventhubs)
    try:
        requeue = Requeue(tables, trail, senders, build_reread(settings.source), f"the user {getpass.getuser()}")
        report = requeue.run(choice, from_hub=options.from_hub, again=options.again)
    finally:
        senders.close()
        trail.close()
    sys.stdout.write("".join(report_lines(report)))
    return int(report.not_sent > 0)


if __name__ == "__main__":
    exit_with(main)
