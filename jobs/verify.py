"""Verify the stream's tables: ``pegel verify``. Wiring.

Everything is recounted from the rows by other means than those that counted them; see ``streaming/verify``.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence

from pegel.errors import OutsideError, SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.streaming.verify.laws import Law
from pegel.streaming.verify.verification import Report, Verification
from pegel.tables.access import open_tables
from pegel.tables.delta import DeltaTables
from pegel.tables.erased import NAME, erased_counts
from pegel.tables.erasure import PROVEN, ROWS, recorded


def main(argv: Sequence[str] | None = None) -> int:
    """Verify what is committed, and print a line for each law and for the first differences.

    Returns:
        0 if every law holds, 1 otherwise.

    Raises:
        SettingsError: if there are no tables.
        OutsideError: if a table cannot be read, or an erasure is under way: what was not compared is not said to hold.
    """
    parser = build_parser("verify", "Recount the stream's tables from their rows, and say where they differ.")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    arguments = parse(parser, argv)
    settings = arguments.settings
    tables = open_tables(settings.storage)
    if tables.version("batches") < 0:
        msg = f"there is no table 'batches' under {settings.storage.root!r}, so nothing to verify; check storage.root"
        raise SettingsError(msg)
    _refuse_during_erasure(tables)
    erased = erased_counts(tables, settings.source.feedback_hub)
    audited = _audited(tables)
    report = Verification(tables, settings, erased).run()
    _print(report, [*report.laws, audited], arguments.options.output)
    return int(not report.holds or audited.broken > 0)


def _refuse_during_erasure(tables: DeltaTables) -> None:
    done = {one["erasure_id"] for one in recorded(tables, PROVEN)}
    for row in tables.read(NAME, "SELECT DISTINCT erasure_id FROM t"):
        if row["erasure_id"] not in done:
            msg = (
                f"the erasure {row['erasure_id']} is under way, so rows are counted as erased that may still be there; "
                "verify again when pegel stream or pegel erase has completed it"
            )
            raise OutsideError(msg)


def _audited(tables: DeltaTables) -> Law:
    """Each erased row is accounted for in the audit trail, and nothing else is said to be erased."""
    law = Law("audited erasures", "the audit trail accounts for every row that erasures says is gone")
    said: Counter[tuple[str, str, int]] = Counter()
    for one in recorded(tables, ROWS):
        for batch_id, n in one["batches"]:
            said[one["erasure_id"], one["table_name"], batch_id] += n
    marked: Counter[tuple[str, str, int]] = Counter()
    asked = "SELECT erasure_id, table_name, batch_id, count(*) AS n FROM t GROUP BY 1, 2, 3"
    for row in tables.read(NAME, asked):
        marked[row["erasure_id"], row["table_name"], row["batch_id"]] += row["n"]
    for key in sorted(said.keys() | marked.keys()):
        erasure_id, table, batch_id = key
        law.compare(table, batch_id, f"rows of erasure {erasure_id}", marked[key], said[key])
    return law


def _print(report: Report, laws: Sequence[Law], output: str) -> None:
    rate = report.events / report.seconds if report.seconds else 0.0
    if output == "json":
        found = {
            "laws": [law.as_json() for law in laws],
            "events": report.events,
            "seconds": round(report.seconds, 3),
            "events_per_second": round(rate),
            "up_to_batch_id": report.up_to,
        }
        sys.stdout.write(json.dumps(found, default=str) + "\n")
        return
    for law in laws:
        sys.stdout.write(f"{law.line()}\n")
        sys.stdout.writelines(f"  {difference}\n" for difference in law.differences)
    sys.stdout.write(
        f"{report.events} events in {report.seconds:.1f} s ({rate:,.0f} a second), up to micro-batch {report.up_to}\n"
    )


if __name__ == "__main__":
    exit_with(main)
