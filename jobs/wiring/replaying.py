"""One alert decided again, from the rows of ``predictions`` that it rests on. Wiring.

The decision is made by the code of the stream itself (:mod:`.decisions`), restored before the alert's micro-batch as
after a restart; only what it counts is taken from rows, by the code of ``pegel verify``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum

from pegel import __version__
from pegel.alerts.incident import Incident
from pegel.alerts.replayed import ComparedValue, compare_rows
from pegel.conf.deciding import deciding_hash
from pegel.conf.settings import Settings
from pegel.errors import ReplayError
from pegel.jobs.wiring.decisions import Decided, Decisions, Past
from pegel.schemas.partials import Partial
from pegel.schemas.policy import Policy
from pegel.streaming.ingest.batch import BatchCounts, IngestedBatch
from pegel.streaming.verify.laws import Law
from pegel.streaming.verify.recounted_history import Lineage, RecountedHistory
from pegel.streaming.watch.history import History
from pegel.tables.delta import DeltaTables, Row
from pegel.tables.erased import erased_counts
from pegel.tables.merging import merged_up_to


class Outcome(StrEnum):
    """What a replay found."""

    SAME = "same"
    """The rows give the same counts to the unit, and the same decision."""
    ERASED = "erased"
    """Rows were erased since; all others are there, and the stored partials give the same decision."""
    PARTIALS = "partials"
    """Rows are gone that are no longer promised to be there; the stored partials give the same decision."""
    OTHER_RULES = "other_rules"
    """The counts are the same; policy, settings or version of Pegel are not those of the alert and decide otherwise."""
    DIFFERENT = "different"
    """Something stands in a table otherwise than it must."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What deciding an alert again gave.

    Attributes:
        alert: its row.
        outcome: see there.
        rows: how many predictions were recounted.
        notes: what a reader must know, each a sentence.
        laws: what was compared with the recount.
        values: the row's columns, from the recount.
        from_partials: the same from stored partials, where rows are missing; else nothing.
    """

    alert: Row
    outcome: Outcome
    rows: int
    notes: tuple[str, ...]
    laws: tuple[Law, ...]
    values: tuple[ComparedValue, ...]
    from_partials: tuple[ComparedValue, ...] = ()


class Replayer:
    """Decides alerts of one stream again.

    Args:
        tables: the stream's.
        settings: those that the stream ran with.
        policy: that of the alerts.
    """

    def __init__(self, tables: DeltaTables, settings: Settings, policy: Policy) -> None:
        self._tables = tables
        self._settings = settings
        self._policy = policy
        self._erased = erased_counts(tables, settings.source.feedback_hub)
        (newest,) = tables.read("batches", "SELECT max(committed_at) AS at FROM t") or [{"at": None}]
        self._kept_since = newest["at"] and newest["at"] - timedelta(days=settings.retention.replay_days)

    def replay(self, alert: Row) -> Replay:
        """Decide one alert again.

        Args:
            alert: its row.

        Raises:
            ReplayError: if its micro-batch is not on record, or neither rows nor partials of it are kept.
            OutsideError: if a table cannot be read.
        """
        windows = tuple((window["start"], window["window_s"]) for window in alert["windows"])
        key = alert["model"], alert["version"], alert["segment"]
        lineage = Lineage(key, alert["first_batch_id"], alert["batch_id"], windows)
        history = RecountedHistory(self._tables, self._settings.ingest, self._erased, lineage, self._is_kept)
        decided = self._decide(alert, history)
        for row in decided.blocks:
            if (row["model"], row["version"], row["segment"]) == key:
                history.check_block(row)
        values = compare_rows(alert, _row_of(alert, decided))
        found = Replay(alert, Outcome.SAME, history.rows, self._notes(alert, history), history.laws, values)
        if any(law.broken for law in found.laws):
            return replace(found, outcome=Outcome.DIFFERENT)
        if history.erased or history.gone:
            return self._from_partials(found, erased=history.erased > 0)
        if not all(value.same for value in values):
            return replace(found, outcome=Outcome.OTHER_RULES if self._other_rules(alert) else Outcome.DIFFERENT)
        return found

    def _from_partials(self, found: Replay, *, erased: bool) -> Replay:
        alert, outcome = found.alert, Outcome.ERASED if erased else Outcome.PARTIALS
        if all(value.same for value in found.values):
            # What is missing was not of the evidence.
            return replace(found, outcome=Outcome.SAME)
        if alert["batch_id"] <= merged_up_to(self._tables):
            msg = (
                f"alert {alert['alert_id']} rests on rows that are gone, and partials up to micro-batch "
                f"{merged_up_to(self._tables)} are sums of minutes by now, so it cannot be decided again; pegel "
                "explain tells what was recorded"
            )
            raise ReplayError(msg)
        decided = self._decide(alert, History(self._tables))
        values = compare_rows(alert, _row_of(alert, decided))
        if not all(value.same for value in values):
            outcome = Outcome.OTHER_RULES if self._other_rules(alert) else Outcome.DIFFERENT
        return replace(found, outcome=outcome, from_partials=values)

    def _decide(self, alert: Row, history: History) -> Decided:
        asked = f"SELECT * FROM t WHERE batch_id = {int(alert['batch_id'])}"
        rows = self._tables.read("batches", asked)
        if not rows:
            msg = f"micro-batch {alert['batch_id']} of alert {alert['alert_id']} is not in the table 'batches'"
            raise ReplayError(f"{msg}, so nothing says what it read; verify the tables with pegel verify")
        past = Past(history, self._policy, self._retrainings_at(alert["decided_time"]), lambda: alert["decided_time"])
        partials = history.partials_of(alert["batch_id"], alert["batch_id"])
        batch = past_batch(rows[0], partials, alert["event_time"], alert["enqueued_time"], alert["stored_time"])
        return Decisions(self._tables, self._settings, past).decide(batch)

    def _retrainings_at(self, time: datetime) -> Callable[[Sequence[Incident]], dict[str, str]]:
        rows = self._tables.read("retrainings", "SELECT incident_id, state, at FROM t")
        before = sorted((row for row in rows if row["at"] <= time), key=lambda row: row["at"])
        states = {row["incident_id"]: row["state"] for row in before}
        return lambda _: states

    def _is_kept(self, committed_at: datetime) -> bool:
        return self._kept_since is None or committed_at >= self._kept_since

    def _other_rules(self, alert: Row) -> bool:
        return bool(self._rules_that_differ(alert))

    def _rules_that_differ(self, alert: Row) -> list[str]:
        settings_hash = deciding_hash(self._settings)
        then_and_now = {
            "policy": (alert["policy_hash"], self._policy.hash),
            # Rows of older versions do not say.
            "watch settings": (alert.get("settings_hash") or settings_hash, settings_hash),
            "version of Pegel": (alert["code_version"], __version__),
        }
        return [
            f"the {name} was {then} when this was decided, and is {now} here"
            for name, (then, now) in then_and_now.items()
            if then != now
        ]

    def _notes(self, alert: Row, history: RecountedHistory) -> tuple[str, ...]:
        notes = self._rules_that_differ(alert)
        if history.erased:
            notes.append(f"{history.erased} rows of its micro-batches were erased since")
        if history.gone:
            days = self._settings.retention.replay_days
            notes.append(f"{history.gone} rows of its micro-batches are gone, which are older than {days} days")
        if alert["first_batch_id"] <= merged_up_to(self._tables):
            notes.append("its oldest partials are sums of minutes by now, so rows were not compared with them")
        return tuple(notes)


def past_batch(
    row: Row, partials: Sequence[Partial], newest_event: datetime | None, newest_enqueued: datetime, stored_at: datetime
) -> IngestedBatch:
    """A micro-batch as the stream had it before it was decided.

    Args:
        row: of ``batches``.
        partials: its own.
        newest_event: event time of its newest prediction.
        newest_enqueued: enqueued time of its newest event.
        stored_at: when everything was stored.
    """
    return IngestedBatch(
        row["query_id"],
        row["batch_id"],
        row["offsets"],
        (),
        partials,
        BatchCounts(**{field.name: row[field.name] or 0 for field in fields(BatchCounts)}),
        newest_event,
        newest_enqueued,
        row["started_at"] or stored_at,
        stored_at,
        replayed=False,
    )


def _row_of(alert: Row, decided: Decided) -> Row | None:
    return next((row for row in decided.alerts if row["alert_id"] == alert["alert_id"]), None)
