"""A stream's history decided again, under any policy and with faults planted in it. Wiring.

The micro-batches that are stored go through the code of the stream itself (:mod:`.decisions`), in order, with the
states of retrainings as they were then. Nothing is written.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from pegel.alerts.incident import PROVEN, Incident
from pegel.conf.settings import Settings
from pegel.errors import SettingsError
from pegel.jobs.wiring.decisions import Decided, Decisions, Past
from pegel.jobs.wiring.replaying import past_batch
from pegel.schemas.partials import Partial
from pegel.schemas.policy import Action, AlertState, Policy
from pegel.streaming.watch.history import History
from pegel.tables.delta import DeltaTables, Row

_CHUNK = 200

Planted = Callable[[Partial], Partial]


@dataclass(frozen=True, slots=True)
class DecidedBatch:
    """A micro-batch that was decided again.

    Attributes:
        batch_id: of it.
        at: when it was committed; stands for the time of the decision.
        decided: the rows that it gave.
    """

    batch_id: int
    at: datetime
    decided: Decided


class Backtest:
    """Decides the history of one stream again.

    Args:
        tables: the stream's.
        settings: those that it ran with, but for the policy.
    """

    def __init__(self, tables: DeltaTables, settings: Settings) -> None:
        self._tables = tables
        self._settings = settings
        self._history = History(tables)
        self._retrainings = _PastRetrainings(tables)
        self._first_complete = self._history.first_complete()

    def span(self, since: datetime | None, until: datetime | None) -> tuple[int, int, datetime, datetime]:
        """First micro-batch, first micro-batch after, and when the first and the last one were committed.

        Micro-batches whose partials were added up to minutes are passed over.

        Args:
            since: the first moment; None for the beginning.
            until: the first moment after; None for the end.

        Raises:
            SettingsError: if there is no micro-batch between the two.
        """
        asked = f"SELECT batch_id, committed_at FROM t WHERE batch_id >= {self._first_complete}"
        rows = [
            row
            for row in self._tables.read("batches", asked)
            if (since is None or row["committed_at"] >= since) and (until is None or row["committed_at"] < until)
        ]
        if not rows:
            msg = (
                f"no micro-batch in {self._tables.uri('batches')} was committed between --from and --to, or their "
                "partials are sums of minutes by now; give other times"
            )
            raise SettingsError(msg)
        times = [row["committed_at"] for row in rows]
        ids = [row["batch_id"] for row in rows]
        return min(ids), max(ids) + 1, min(times), max(times)

    def run(self, policy: Policy, first: int, before: int, planted: Planted | None = None) -> Iterator[DecidedBatch]:
        """Decide micro-batches again, in order.

        What the stream itself said before the first one is where it begins: its blocks and its open incidents.

        Args:
            policy: by which.
            first: the first micro-batch.
            before: the first one after.
            planted: changes each partial.

        Raises:
            OutsideError: if a table cannot be read.
        """
        here: list[Row] = []
        past = Past(
            self._history,
            policy,
            lambda unresolved: self._retrainings.states(unresolved, here[-1]),
            lambda: here[-1]["committed_at"],
        )
        decisions = Decisions(self._tables, self._settings, past)
        for row, partials in self._batches(first, before):
            here[:] = [row]
            at = row["committed_at"]
            mine = partials if planted is None else [planted(partial) for partial in partials]
            newest = max((o["last_enqueued"] for o in row["offsets"] if o["last_enqueued"]), default=at)
            event = max((partial.window_start for partial in mine), default=None)
            yield DecidedBatch(row["batch_id"], at, decisions.decide(past_batch(row, mine, event, newest, at)))

    def _batches(self, first: int, before: int) -> Iterator[tuple[Row, list[Partial]]]:
        after = first - 1
        while rows := self._tables.read(
            "batches",
            f"SELECT * FROM t WHERE batch_id > {after:d} AND batch_id < {before:d} ORDER BY batch_id LIMIT {_CHUNK}",
        ):
            after = rows[-1]["batch_id"]
            partials = sorted(self._history.partials_of(rows[0]["batch_id"], after), key=lambda p: p.batch_id)
            of_batch = {key: list(group) for key, group in groupby(partials, key=lambda p: p.batch_id)}
            yield from ((row, of_batch.get(row["batch_id"], [])) for row in rows)


class _PastRetrainings:
    """What was known of retrainings when a micro-batch was decided."""

    def __init__(self, tables: DeltaTables) -> None:
        asked = "SELECT incident_id, state, at FROM t"
        self._rows = sorted(tables.read("retrainings", asked), key=lambda row: row["at"])
        alerts = tables.read("alerts", "SELECT incident_id, batch_id, state, action FROM t")
        self._asked = {row["incident_id"] for row in alerts if row["action"] == Action.RETRAIN}
        ended = (AlertState.RESOLVED, AlertState.RETRACTED)
        self._ended_in = {row["incident_id"]: row["batch_id"] for row in alerts if row["state"] in ended}

    def states(self, unresolved: Sequence[Incident], batch: Row) -> dict[str, str]:
        """Incident -> the latest state of its retraining, when a micro-batch was decided.

        One that the stream itself never asked to retrain for is taken to be proven: history has no retraining of it,
        and it would hide all that comes later.
        """
        known = {row["incident_id"]: row["state"] for row in self._rows if self._was_seen(row, batch)}
        assumed = {i.incident_id for i in unresolved if i.awaits_proof and i.incident_id not in self._asked}
        return known | dict.fromkeys(assumed - known.keys(), PROVEN)

    def _was_seen(self, row: Row, batch: Row) -> bool:
        if row["at"] <= (batch["started_at"] or batch["committed_at"]):
            return True
        # It came while this micro-batch was decided: whether it was seen is to be read from what became of it.
        return bool(row["at"] <= batch["committed_at"] and self._ended_in.get(row["incident_id"]) == batch["batch_id"])
