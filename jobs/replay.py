"""Decide an alert again from the rows that it rests on: ``pegel replay ID``. Wiring: reads tables, writes none."""

import sys
from collections.abc import Sequence

from pegel.alerts.policy import load_policy
from pegel.jobs.wiring.alert_lookup import find_incident
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.replay_output import as_json, as_text
from pegel.jobs.wiring.replaying import Outcome, Replay, Replayer
from pegel.tables.access import open_tables

OTHERWISE = 5
"""Exit code where an alert could not be decided again as it was, and it is known why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Replay one alert, or each of an incident, and print what was found.

    Returns:
        0 if each was decided again to the same row from rows of ``predictions`` alone; 1 if something stands in a table
        otherwise than it must; 5 if rows were erased or are no longer kept, or policy, settings or version of Pegel
        are others and decide otherwise.

    Raises:
        SettingsError: if no incident and no alert has this id, or the policy cannot be read.
        ReplayError: if neither rows nor partials are there any more.
        OutsideError: if a table cannot be read.
    """
    parser = build_parser("replay", "Decide an alert again, from the rows of predictions that it rests on.")
    parser.add_argument("id", metavar="ID", help="of an alert, or of an incident for all its alerts; six characters do")
    parser.add_argument("--policy", metavar="FILE", help="the policy of that time, if it is not the present one")
    parser.add_argument("--output", choices=("table", "json"), default="table", help="how to say it")
    arguments = parse(parser, argv)
    settings, options = arguments.settings, arguments.options
    tables = open_tables(settings.storage)
    wanted = options.id
    alerts = find_incident(tables, wanted)
    of_alert = [row for row in alerts if row["alert_id"].startswith(wanted)]
    replayer = Replayer(tables, settings, load_policy(options.policy or settings.watch.policy))
    replays = [replayer.replay(row) for row in of_alert or alerts]
    sys.stdout.write(as_json(replays) if options.output == "json" else as_text(replays))
    return _exit_code(replays)


def _exit_code(replays: Sequence[Replay]) -> int:
    outcomes = {replay.outcome for replay in replays}
    if Outcome.DIFFERENT in outcomes:
        return 1
    return 0 if outcomes == {Outcome.SAME} else OTHERWISE


if __name__ == "__main__":
    exit_with(main)
