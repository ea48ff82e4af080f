"""Heads of audit chains in MLflow: kept there from time to time, and read when chains are verified. Edge."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pegel.conf.settings import Settings
from pegel.lifecycle.monitoring_run import (
    REQUEST_RETRIES,
    REQUEST_TIMEOUT_SECONDS,
    TAG_AUDIT,
    TAG_RUN,
    MonitoringRuns,
)
from pegel.lifecycle.registry import asking, connect
from pegel.schemas.audit import WRITER_NAME, Anchor, Head, read_head, write_head
from pegel.tables.audit_heads import AuditHeads

_TAG = re.compile(re.escape(TAG_AUDIT) + rf"({WRITER_NAME})(?:\.[0-9]{{2}})?")
_RUNS_PER_CALL = 500


class Anchoring:
    """Keeps the heads when they have moved, not more often than every ``every_seconds``.

    Args:
        runs: where they are kept.
        heads: what they are now.
        every_seconds: between two calls of MLflow.
        now: the clock.
    """

    def __init__(
        self,
        runs: MonitoringRuns,
        heads: AuditHeads,
        every_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._runs = runs
        self._heads = heads
        self._every = timedelta(seconds=every_seconds)
        self._now = now
        self._kept: dict[str, Head] = {}
        self._due = datetime.min.replace(tzinfo=UTC)

    def advance(self) -> bool:
        """Keep them if it is time; return whether anything was kept.

        Raises:
            OutsideError: if a table cannot be read or MLflow fails; the next call tries again.
        """
        now = self._now()
        if now < self._due:
            return False
        heads = self._heads.read()
        if heads == self._kept:
            return False
        self._runs.anchor({writer: write_head(head) for writer, head in heads.items()}, now)
        self._kept, self._due = heads, now + self._every
        return True


def read_anchors(settings: Settings) -> dict[str, list[Anchor]]:
    """Writer -> everything that monitoring runs hold about its chain.

    Raises:
        OutsideError: if MLflow fails.
    """
    client = connect(settings.mlflow, timeout_seconds=REQUEST_TIMEOUT_SECONDS, retries=REQUEST_RETRIES)
    found: dict[str, list[Anchor]] = {}
    with asking("the anchors of the audit chains"):
        experiment = client.get_experiment_by_name(settings.mlflow.experiment)
        page = None
        while experiment is not None:
            runs = client.search_runs(
                [experiment.experiment_id], f"tags.`{TAG_RUN}` LIKE '%'", max_results=_RUNS_PER_CALL, page_token=page
            )
            for run in runs:
                for tag, value in run.data.tags.items():
                    match, head = _TAG.fullmatch(tag), read_head(value)
                    if match is not None and head is not None:
                        source = f"the MLflow run {run.data.tags[TAG_RUN]} (tag {tag})"
                        found.setdefault(match[1], []).append(Anchor(*head, source))
            page = runs.token
            if not page:
                break
    return found
