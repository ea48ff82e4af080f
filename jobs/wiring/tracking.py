"""What the delivery job keeps in MLflow beside the alerts: final metrics, and heads of the audit chains. Wiring."""

from collections.abc import Callable

from pegel.conf.settings import Settings
from pegel.tables.audit_heads import AuditHeads
from pegel.tables.delta import DeltaTables


def build_tracking(tables: DeltaTables, settings: Settings) -> Callable[[], None]:
    """One turn of it, to be called again and again by one thread.

    The client is made when there is something to keep: importing mlflow takes seconds, and a server that is down must
    not stop the job.
    """
    heads = AuditHeads(tables, settings.audit.writers)
    steps: list[Callable[[], object]] = []

    def _turn() -> None:
        if not steps and (tables.version("metrics") >= 0 or heads.read()):
            from pegel.lifecycle.audit_anchors import Anchoring
            from pegel.lifecycle.monitoring_run import MonitoringRuns

            runs = MonitoringRuns(tables, settings)
            steps.extend((Anchoring(runs, heads, settings.audit.anchor_seconds).advance, runs.advance))
        for step in steps:
            step()

    return _turn
