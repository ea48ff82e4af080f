"""Take the calls of Azure's action group and start retrainings: ``pegel webhook --config FILE``."""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from fastapi import FastAPI

from pegel.alerts.delivery.outbox import Backoff
from pegel.alerts.retraining.guards import Guards
from pegel.alerts.retraining.past_retrainings import PastRetrainings
from pegel.alerts.retraining.sick_pipeline import SickPipeline
from pegel.alerts.retraining.trigger import BACKOFF_CAP_SECONDS, DatabricksJobTrigger, RetrainQueue, RetrainWorker
from pegel.alerts.webhook.app import create_app
from pegel.alerts.webhook.call import SIGNED
from pegel.alerts.webhook.entra_caller import ActionGroupCheck
from pegel.alerts.webhook.intake import Intake
from pegel.alerts.webhook.reconciler import Reconciler
from pegel.alerts.webhook.signed_caller import SignedCallerCheck
from pegel.alerts.webhook.silencing import Silencing
from pegel.conf.bearer_token import TokenCheck
from pegel.conf.settings import Settings
from pegel.errors import OutsideError
from pegel.jobs.wiring.arguments import build_parser, exit_with, parse
from pegel.jobs.wiring.audit_trail import build_trail
from pegel.jobs.wiring.web_server import listen, serve
from pegel.tables.access import open_tables
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

log = logging.getLogger(__name__)

WRITER = "webhook"
"""Of its audit table."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the job is stopped; with ``--available-now`` try once what was stored and not started, and stop.

    Raises:
        SettingsError: if the issuer of the tokens or the job is not named, or another process is the webhook.
        OutsideError: if the port is taken, or with ``--available-now`` if a retraining could not be started.
    """
    arguments = parse(build_parser("webhook", "Take the calls of Azure's action group and start retrainings."), argv)
    settings = arguments.settings
    if arguments.available_now:
        return start_waiting(settings)
    tokens = ActionGroupCheck(settings.webhook)
    if settings.webhook.mode == "propose" and not settings.webhook.approver_secrets:
        log.warning(
            "webhook.mode is propose and webhook.approver_secrets is empty: no retraining can be approved here, "
            "each has to be started by hand with pegel retrain --incident"
        )
    taken = listen(settings.webhook.host, settings.webhook.port, "webhook")
    serve(build_app(settings, tokens), taken, "webhook")
    return 0


def build_app(settings: Settings, tokens: TokenCheck) -> FastAPI:
    """The application with the thread that starts retrainings."""
    worker = RetrainWorker()
    tables = open_tables(settings.storage)
    trail = build_trail(settings, tables, WRITER)
    intake = _intake(settings, tables, trail, worker.wake)
    steps = (Reconciler(intake, settings.webhook.reconcile_after_seconds).step, _queue(settings, tables, intake).step)
    secrets, approver_secrets = settings.webhook.secrets, settings.webhook.approver_secrets
    signatures = SignedCallerCheck(secrets) if secrets else None
    approvers = SignedCallerCheck(approver_secrets, setting="webhook.approver_secrets") if approver_secrets else None
    trail.start()

    def _stop() -> None:
        worker.stop()
        trail.close()

    return create_app(
        intake,
        tokens,
        lambda: worker.start(*steps),
        _stop,
        trail=trail,
        signatures=signatures,
        approvers=approvers,
        silencing=Silencing(tables, trail),
    )


def start_waiting(settings: Settings) -> int:
    """Try every stored call that has not started its retraining, and every alert whose call never came, once.

    Raises:
        OutsideError: if one could not be started.
    """
    tables = open_tables(settings.storage)
    trail = build_trail(settings, tables, WRITER)
    intake = _intake(settings, tables, trail, lambda: None)
    try:
        Reconciler(intake, settings.webhook.reconcile_after_seconds).step()
        queue = _queue(settings, tables, intake)
        queue.step()
    finally:
        trail.close()
    failed = [call for call in intake.waiting if call.call_id not in queue.held_back]
    if failed:
        msg = f"{len(failed)} retrainings could not be started; the table webhook_calls says why, try again"
        raise OutsideError(msg)
    return 0


def _intake(settings: Settings, tables: DeltaTables, trail: AuditTrail, wake: Callable[[], None]) -> Intake:
    signed = (SIGNED,) if settings.webhook.secrets else ()
    return Intake(tables, (*settings.webhook.rules, *signed), wake, mode=settings.webhook.mode, trail=trail)


def _queue(settings: Settings, tables: DeltaTables, intake: Intake) -> RetrainQueue:
    # It is tried as long as the incident asks for it, so that the number of attempts has no end of its own.
    backoff = Backoff(BACKOFF_CAP_SECONDS, max_attempts=2**31)
    webhook = settings.webhook
    cooldown, run_limit = (timedelta(seconds=s) for s in (webhook.cooldown_seconds, webhook.run_limit_seconds))
    past = PastRetrainings(tables, Guards(cooldown, webhook.daily_cap, run_limit))
    sick = SickPipeline(tables)
    start = DatabricksJobTrigger(settings.databricks).start
    return RetrainQueue(intake, start, backoff, held=lambda call: sick.hold(call) or past.hold(call))


if __name__ == "__main__":
    exit_with(main)
