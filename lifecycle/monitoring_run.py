"""Final metrics as MLflow shows them: one run per model and day, found by its tag. Edge.

Delta is the record, MLflow a view of it. A point's key, step and timestamp come from its window alone, and MLflow
keeps an equal point once; so rows that are logged again, because a crash came before the cursor moved, add nothing.
The cursor is a tag of the experiment: a new, empty store has none, and gets everything.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pegel.conf.settings import Settings
from pegel.lifecycle.metric_keys import MAX_KEY_CHARACTERS, MAX_METRICS_PER_CALL, encode_name, metric_key
from pegel.lifecycle.registry import asking, connect, prepare_store
from pegel.schemas.partials import ALL
from pegel.tables.delta import DeltaTables, Row

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 5
REQUEST_RETRIES = 2
"""Monitoring must not hold the delivery of alerts; what is not logged now is logged at the next turn."""

TAG_RUN = "pegel.monitoring"
TAG_CURSOR = "pegel.monitoring.batch_id"
TAG_AUDIT = "pegel.audit."
"""Followed by a writer: the newest head of its audit chain; followed by ``.HH`` too: the last one of that hour."""

# All numbers of a window are numbered, those logged before too, so that each keeps its key at every restart. Those that
# are null are not: accuracy is, until the first label comes.
_ROWS = """
SELECT model, version, "column", metric, window_start, window_s, value, ordinal, batch_id FROM (
  SELECT *, row_number() OVER (
    PARTITION BY model, version, "column", metric, window_start, window_s, baseline_id ORDER BY revision
  ) AS ordinal
  FROM t WHERE segment = '{segment}' AND value IS NOT NULL
    AND window_start >= (SELECT min(window_start) FROM t WHERE batch_id > {cursor})
) WHERE batch_id > {cursor} ORDER BY batch_id
"""


class MonitoringRuns:
    """Logs what is new in ``metrics``.

    Only models that have a baseline, and the configured one, get a run: the name of a model comes from outside.

    Args:
        tables: where ``metrics`` and ``baselines`` lie.
        settings: which server, which experiment, how long the base windows are.
    """

    def __init__(self, tables: DeltaTables, settings: Settings) -> None:
        self._tables = tables
        self._settings = settings
        self._client = connect(settings.mlflow, timeout_seconds=REQUEST_TIMEOUT_SECONDS, retries=REQUEST_RETRIES)
        self._experiment: str | None = None
        self._cursor: int | None = None
        self._seen_version = -1
        self._runs: dict[str, str] = {}

    def advance(self) -> int:
        """Log the metrics of all micro-batches since the last call.

        Returns:
            how many numbers were handed over; 0 if nothing is new.

        Raises:
            OutsideError: if MLflow fails; nothing is lost, the next call logs the same again.
        """
        version = self._tables.version("metrics")
        if version == self._seen_version or version < 0:
            return 0
        if self._cursor is None:
            with asking("the cursor of the monitoring"):
                tags = self._client.get_experiment(self._experiment_id()).tags
            self._cursor = int(tags.get(TAG_CURSOR, -1))
        rows = self._tables.read("metrics", _ROWS.format(segment=ALL, cursor=self._cursor))
        logged = self._log(rows)
        if rows:
            self._cursor = max(row["batch_id"] for row in rows)
            with asking("the cursor of the monitoring"):
                self._client.set_experiment_tag(self._experiment_id(), TAG_CURSOR, str(self._cursor))
        self._seen_version = version
        return logged

    def anchor(self, heads: Mapping[str, str], now: datetime) -> None:
        """Keep heads of audit chains as tags of the day's run of the configured model.

        A tag is overwritten, so each hour has tags of its own: the last head of every hour stays.

        Args:
            heads: writer -> its head, see ``schemas.audit.write_head``.
            now: aware UTC.

        Raises:
            OutsideError: if MLflow fails.
        """
        from mlflow.entities import RunTag

        tags = [
            RunTag(f"{TAG_AUDIT}{writer}{hour}", head) for writer, head in heads.items() for hour in ("", f".{now:%H}")
        ]
        run_id = self._run_of(self._settings.model.name, now.date().isoformat())
        with asking("the anchors of the audit chains"):
            self._client.log_batch(run_id, tags=tags)

    def _experiment_id(self) -> str:
        if self._experiment is None:
            self._experiment = prepare_store(self._client, self._settings.mlflow)
        return self._experiment

    def _log(self, rows: Sequence[Row]) -> int:
        from mlflow.entities import Metric

        known = {row["model"] for row in self._tables.read("baselines", "SELECT DISTINCT model FROM t")}
        known.add(self._settings.model.name)
        by_run: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in rows:
            key = metric_key(
                row["metric"],
                row["column"],
                version=row["version"],
                window_s=row["window_s"],
                base_window_s=self._settings.ingest.window_seconds,
                revision=row["ordinal"],
            )
            if row["model"] not in known or not _finite(row["value"]):
                continue
            if len(key) > MAX_KEY_CHARACTERS:
                log.warning("a metric of %r has too long a name for MLflow: %.60s…", row["model"], key)
                continue
            start = row["window_start"]
            end_ms = int((start + timedelta(seconds=row["window_s"])).timestamp() * 1000)
            step = int(start.timestamp()) // row["window_s"]
            by_run[row["model"], start.date().isoformat()].append(Metric(key, row["value"], end_ms, step))
        for (model, day), metrics in by_run.items():
            run_id = self._run_of(model, day)
            for chunk in _chunks(metrics, MAX_METRICS_PER_CALL):
                with asking(f"the monitoring run of {model!r}"):
                    self._client.log_batch(run_id, metrics=chunk)
        return sum(len(metrics) for metrics in by_run.values())

    def _run_of(self, model: str, day: str) -> str:
        # The tag has no quote in it, whatever the model is called, so it is safe in a filter.
        tag = f"{encode_name(model)}/{day}"
        if tag not in self._runs:
            with asking(f"the monitoring run {tag}"):
                found = self._client.search_runs(
                    [self._experiment_id()], f"tags.`{TAG_RUN}` = '{tag}'", order_by=["attributes.start_time ASC"]
                )
                run = found[0] if found else self._client.create_run(
                    self._experiment_id(), run_name=f"monitoring {tag}", tags={TAG_RUN: tag}
                )  # fmt: skip
            self._runs[tag] = run.info.run_id
        return self._runs[tag]


def _finite(value: float) -> bool:
    # MLflow stores an infinity as 1.8e308 and would draw it.
    return value - value == 0


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
