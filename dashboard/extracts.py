"""The queries of the pages: bounded in time, or in tables that hold a handful of rows. Pure.

No text from outside is part of a query: only numbers and timestamps are.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.conf.settings import Settings
from pegel.schemas import metric_names, partials

DECISIONS_HOURS = 72.0
"""Incidents and deliveries are few and matter longer than measurements: they are read at least this far back."""

FINE_HOURS = 1.0
"""The shortest windows and the blocks are read this far back: 360 points a line at 10 s."""

HISTORY_HOURS = 24.0 * 400
"""Versions, promotions and retrainings: a few rows a day at most."""


@dataclass(frozen=True, slots=True)
class Extract:
    """One bounded query.

    Attributes:
        table: the table it reads.
        columns: what it selects, as SQL.
        time: the timestamp column that bounds it.
        hours: how far back.
        where: a further condition.
        group: the columns that it sums by; the sums of new micro-batches come as further rows.
        by_batch: whether rows carry ``batch_id``, so that only newer ones need to be fetched.
        also: which rows are wanted however old they are.
        alias: the name of ``time`` in the rows, where it is another.
        later: a further column, which a table that an older version made does not have.
    """

    table: str
    columns: str
    time: str
    hours: float
    where: str = ""
    group: str = ""
    by_batch: bool = False
    also: str = ""
    alias: str = ""
    later: str = ""

    @property
    def kept_by(self) -> str:
        """The field of a row by whose time it is kept or dropped."""
        return self.alias or self.time

    def start(self, now: datetime) -> datetime:
        """The earliest time that is wanted as of ``now``."""
        return now - timedelta(hours=self.hours)

    def sql(self, now: datetime, after_batch: int | None = None, *, has_later: bool = False) -> str:
        """The query as of ``now``; with ``after_batch`` for the rows of later micro-batches only.

        Args:
            now: the time.
            after_batch: a micro-batch.
            has_later: whether the table has the column :attr:`later`.

        Example:
            >>> Extract("blocks", "n", "last_enqueued", 1).sql(datetime(2026, 11, 25, 3, tzinfo=UTC), 7)
            "SELECT n FROM t WHERE last_enqueued >= TIMESTAMP '2026-11-25T02:00:00Z' AND batch_id > 7"
        """
        bound = f"{self.time} >= TIMESTAMP '{self.start(now).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"
        conditions = [f"({bound} OR {self.also})" if self.also else bound]
        if self.where:
            conditions.append(self.where)
        if after_batch is not None:
            conditions.append(f"batch_id > {after_batch:d}")
        tail = f" GROUP BY {self.group}" if self.group else ""
        columns = f"{self.columns}, {self.later}" if has_later and self.later else self.columns
        return f"SELECT {columns} FROM t WHERE {' AND '.join(conditions)}{tail}"


def extracts(settings: Settings) -> dict[str, Extract]:
    """Every query of the pages, by the name that the views know its rows by."""
    return {**_measurements(settings), **_decisions(settings)}


def _measurements(settings: Settings) -> dict[str, Extract]:
    hours = settings.dashboard.hours
    fine = min(hours, FINE_HOURS)
    shortest = min(settings.watch.window_seconds)
    counters = (partials.EVENTS, partials.ERRORS, partials.LABELLED, partials.CORRECT)
    sums = ", ".join(f"sum(coalesce(counts['{name}'], 0)) AS {name}" for name in counters)
    metrics = (
        'model, version, "column", metric, window_start, window_s, baseline_id, revision, batch_id, value, n, '
        "lower, upper, p_value, effect, label_completeness, calibrated"
    )
    shown = ", ".join(f"'{name}'" for name in (metric_names.ACCURACY, *metric_names.DRIFT))
    wanted = f"segment = '{partials.ALL}' AND metric IN ({shown})"
    return {
        "batches": Extract(
            "batches", "*", "committed_at", hours, by_batch=True, also="batch_id = (SELECT max(batch_id) FROM t)"
        ),
        "counts": Extract(
            "profiles",
            f"model, version, window_start, window_s, max(batch_id) AS batch_id, max(last_enqueued) AS newest, {sums}",
            "window_start",
            hours,
            where=f"segment = '{partials.ALL}' AND window_s = {settings.ingest.window_seconds:d}",
            group="model, version, window_start, window_s",
            by_batch=True,
        ),
        "metrics": Extract(
            "metrics", metrics, "window_start", hours, where=f"{wanted} AND window_s > {shortest:d}", by_batch=True
        ),
        "metrics_fine": Extract(
            "metrics", metrics, "window_start", fine, where=f"{wanted} AND window_s = {shortest:d}", by_batch=True
        ),
        "dead_letters": Extract(
            "dead_letters",
            "reason, hub, count(*) AS n, max(enqueued_time) AS newest, max(batch_id) AS batch_id",
            "enqueued_time",
            hours,
            group="reason, hub",
            by_batch=True,
            alias="newest",
        ),
        "blocks": Extract(
            "blocks",
            "model, version, block_no, batch_id, n, last_enqueued, baseline_id, verdicts",
            "last_enqueued",
            fine,
            where=f"segment = '{partials.ALL}'",
            by_batch=True,
            later="rates",
        ),
    }


def _decisions(settings: Settings) -> dict[str, Extract]:
    hours = max(settings.dashboard.hours, DECISIONS_HOURS)
    still_open = "incident_id NOT IN (SELECT incident_id FROM t WHERE state IN ('resolved', 'retracted'))"
    return {
        "alerts": Extract("alerts", "*", "decided_time", hours, also=still_open),
        "pipeline_alerts": Extract("pipeline_alerts", "*", "decided_time", hours, also=still_open),
        "deliveries": Extract("deliveries", "*", "at", hours),
        "webhook_calls": Extract("webhook_calls", "*", "received_at", hours),
        "silences": Extract("silences", "*", "at", HISTORY_HOURS),
        "retrainings": Extract("retrainings", "*", "at", HISTORY_HOURS),
        "promotions": Extract("promotions", "*", "at", HISTORY_HOURS),
        "baselines": Extract(
            "baselines", "baseline_id, model, version, created_at, counts['events'] AS n", "created_at", HISTORY_HOURS
        ),
    }
