"""Tell an incident in words: ``pegel explain ID``. Wiring: reads tables, writes none."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pegel.alerts.explanation import Story, explain
from pegel.jobs.wiring.alert_lookup import find_incident
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.streaming.watch.history import History
from pegel.tables.access import open_tables
from pegel.tables.delta import DeltaTables

Row = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Print what happened, how large, since when, from where, and what was done about it.

    Raises:
        SettingsError: if no incident and no alert has this id.
        OutsideError: if a table cannot be read.
    """
    parser = build_parser("explain", "Tell an incident in words, from the tables.")
    parser.add_argument("id", metavar="ID", help="of an incident, or of one of its alerts; six characters do")
    arguments = parse(parser, argv)
    sys.stdout.write(explain(read_story(open_tables(arguments.settings.storage), arguments.options.id)))
    return 0


def read_story(tables: DeltaTables, wanted: str) -> Story:
    """Everything that the tables hold about an incident.

    Args:
        tables: where.
        wanted: see :func:`~pegel.jobs.wiring.alert_lookup.find_incident`.

    Raises:
        SettingsError: if no incident and no alert is named so, or several are.
    """
    mine = find_incident(tables, wanted, ("alerts", "pipeline_alerts"))
    incident = mine[0]["incident_id"]
    first = mine[0]
    ids = {row["alert_id"] for row in mine}
    low, high = min(row["first_batch_id"] for row in mine), max(row["last_batch_id"] for row in mine)
    within = f"SELECT * FROM t WHERE batch_id >= {low:d} AND batch_id <= {high:d}"
    rates = ", rates" if "rates" in tables.columns("blocks") else ""
    opened = f"SELECT model, version, segment, verdicts{rates} FROM t WHERE batch_id = {first['batch_id']:d}"
    return Story(
        mine,
        _of_version(first, tables.read("blocks", opened)),
        tables.read("batches", within),
        tables.read("gaps", within),
        [row for row in tables.read("deliveries") if row["alert_id"] in ids],
        _about(incident, tables.read("webhook_calls")),
        _about(incident, tables.read("retrainings")),
        # A retraining promotes under its incident's id and the attempt.
        [row for row in tables.read("promotions") if row["by"].partition(":")[0] == incident],
        _of_version(first, History(tables).judged_between(first["batch_id"], first["batch_id"] + 1)),
        _about(incident, tables.read("silences")),
    )


def _of_version(alert: Row, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if (row["model"], row["version"]) == (alert["model"], alert["version"])]


def _about(incident_id: str, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["incident_id"] == incident_id]


if __name__ == "__main__":
    exit_with(main)
