"""``pegel retrain``: train, compare, promote and prove a challenger, for an incident or by schedule. Wiring."""

import logging
from collections.abc import Sequence

from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.lifecycle.onset import onset_of_incident, onset_of_schedule
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.retraining import Retraining
from pegel.tables.access import open_tables

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry one retraining to its end; a failure is an exception, a rejection or a rollback is an answer."""
    parser = build_parser("retrain", "Train, compare, promote and prove a challenger.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--incident", metavar="ID", help="the incident that asks for it")
    what.add_argument("--scheduled", action="store_true", help="without an incident, on what is new to the champion")
    arguments = parse(parser, argv)
    settings = arguments.settings
    tables, registry = open_tables(settings.storage), Registry(settings)
    registry.prepare_store()
    if arguments.options.scheduled:
        onset = onset_of_schedule(tables, registry, settings.retrain.min_labelled_rows)
    else:
        rows = settings.retrain.min_rows_after_drift
        onset = onset_of_incident(tables, settings.model.name, arguments.options.incident, rows)
    trail = build_trail(settings, tables, "retrain")
    trail.start()
    try:
        state = Retraining(settings, tables, registry, wait=not arguments.available_now, trail=trail).run(onset)
    finally:
        trail.close()
    log.info("the retraining for %s is %s", onset.incident_id, state)
    return 0


if __name__ == "__main__":
    exit_with(main)
