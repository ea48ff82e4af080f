"""``pegel watch``: blocks and metrics once more, from stored partials and without Spark. Wiring."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.stopping import stop_event
from pegel.jobs.wiring.watching import build_watcher
from pegel.streaming.watch.history import History
from pegel.streaming.watch.rebuild import Rebuild
from pegel.tables.access import open_tables

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Rebuild, then follow new micro-batches until the job is stopped, or not with ``--available-now``."""
    parser = build_parser("watch", "Recompute blocks and metrics from stored partials, into tables of their own.")
    parser.add_argument("--out", required=True, metavar="ROOT", help="folder or URI for the recomputed tables")
    arguments = parse(parser, argv)
    settings, out = arguments.settings, arguments.options.out
    if _same_place(out, settings.storage.root):
        parser.error("--out is where the stream itself writes, and one process writes a table; name another root")
    target = open_tables(settings.storage, out)
    if target.exists("blocks") or target.exists("metrics"):
        parser.error(f"--out: {out} holds blocks or metrics already; remove them, or name another root")
    tables = open_tables(settings.storage)
    rebuild = Rebuild(History(tables), build_watcher(settings, tables), target)
    if rebuild.first:
        _log.info("begins with micro-batch %d: of those before only whole minutes are left", rebuild.first)
    done = 0
    stop = stop_event()
    while not stop.is_set():
        found = rebuild.step()
        done += found
        if not found:
            if arguments.available_now:
                break
            stop.wait(settings.ingest.trigger_seconds)
    _log.info("%d micro-batches watched again; their blocks and metrics are under %s", done, out)
    return 0


def _same_place(one: str, other: str) -> bool:
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


if __name__ == "__main__":
    exit_with(main)
