"""Erase a person's events: ``pegel erase --subject FIELD=VALUE``. Wiring.

The request is filed. A stream that runs carries it out between two micro-batches; if none runs, this job takes the
tables' lease and does it itself.
"""

import getpass
import json
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, SettingsError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.erasing import carry_out, open_owned
from pegel.jobs.wiring.stopping import stop_event
from pegel.schemas.erasures import ERASABLE, ErasureRequest, Subject, parse_subject
from pegel.tables.erased import erased_places
from pegel.tables.erasure import WRITER, file_request, is_filed
from pegel.tables.lease import Lease
from pegel.tables.owned import OwnedTables

LOOK_SECONDS = 1.0
# A random id in letters: digits could look like a number that is masked in the audit trail.
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def main(argv: Sequence[str] | None = None) -> int:
    """File a request and wait until it is carried out, then print what went.

    Raises:
        SettingsError: if the subject cannot be meant.
        OutsideError: if the storage fails, or it was not carried out in time or before SIGTERM; it stays filed.
    """
    parser = build_parser("erase", "Erase a person's events from predictions, feedback and dead letters.")
    parser.add_argument(
        "--subject", action="append", required=True, metavar="FIELD=VALUE",
        help="whose events: event_id, trace_id, source, segments.NAME, features.NAME or extra.NAME; any of several",
    )  # fmt: skip
    parser.add_argument("--reason", default="a person asked for it", help="for the audit trail; name nobody here")
    parser.add_argument("--wait-seconds", type=float, default=600.0, help="how long to wait for the stream")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    arguments = parse(parser, argv)
    settings, options = arguments.settings, arguments.options
    subjects = tuple(parse_subject(text) for text in options.subject)
    erasure_id = uuid.uuid4().hex.translate(_LETTERS)
    tables = open_owned(settings)
    if tables.version("batches") < 0:
        msg = f"there is no table 'batches' under {settings.storage.root!r}, so nothing to erase; check storage.root"
        raise SettingsError(msg)
    stop = stop_event()
    actor = getpass.getuser()
    file_request(tables, ErasureRequest(erasure_id, subjects, actor, options.reason, datetime.now(UTC)))
    _wait(settings, tables, erasure_id, options.wait_seconds, stop)
    rows = {table: len(erased_places(tables, erasure_id).get(table, ())) for table in ERASABLE}
    _print(erasure_id, rows, _named(tables, subjects), options.output)
    return 0


def _wait(settings: Settings, tables: OwnedTables, erasure_id: str, seconds: float, stop: threading.Event) -> None:
    deadline = time.monotonic() + seconds
    lease = Lease(tables, WRITER)
    half_written = False
    while is_filed(tables, erasure_id):
        if stop.is_set():
            msg = (
                f"this process was told to end before the erasure {erasure_id} was carried out; it stays filed, and the"
                " stream carries it out, or the next pegel erase"
            )
            raise OutsideError(msg)
        if time.monotonic() > deadline:
            why = (
                "a micro-batch is half written, start the stream once so that it is completed; or pegel maintain is at"
                " work, wait for its end"
                if half_written
                else (f"the tables belong to {lease.holder() or 'nobody'}, look into the log of the stream")
            )
            msg = f"the erasure {erasure_id} was not carried out within {seconds:.0f} s and stays filed: {why}"
            raise OutsideError(msg)
        if lease.try_take():
            try:
                half_written = carry_out(settings, tables) is None
            finally:
                lease.release()
        stop.wait(LOOK_SECONDS)


def _named(tables: OwnedTables, subjects: Sequence[Subject]) -> list[str]:
    """Segments of ``profiles`` whose very name is that of a subject; counts are not erased, so it stands there on."""
    segments = {row["segment"] for row in tables.read("profiles", "SELECT DISTINCT segment FROM t")}
    return sorted(
        f"{s.name}={s.value}" for s in subjects if s.column == "segments" and f"{s.name}={s.value}" in segments
    )


def _print(erasure_id: str, rows: Mapping[str, int], named: Sequence[str], output: str) -> None:
    if output == "json":
        sys.stdout.write(json.dumps({"erasure_id": erasure_id, "rows": rows, "named_segments": named}) + "\n")
        return
    sys.stdout.write(f"erasure {erasure_id}: {Counter(rows).total()} rows erased, no file of their tables holds them\n")
    sys.stdout.writelines(f"  {table}: {n}\n" for table, n in rows.items())
    for name in named:
        sys.stdout.write(f"  still named: profiles counts a segment {name!r}; segments should name no person\n")


if __name__ == "__main__":
    exit_with(main)
