"""How long two policies take to tell faults that are planted into history. Wiring."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from pegel.alerts.incident import version_order
from pegel.alerts.policy_comparison import ToldIncident
from pegel.jobs.wiring.backtesting import Backtest, Planted
from pegel.schemas import grids
from pegel.schemas.metric_names import ERROR_RATE
from pegel.schemas.partials import ALL, LIVE, Partial
from pegel.schemas.policy import AlertState, Policy
from pegel.streaming.watch.planted_faults import Fault, FaultKind, plant
from pegel.streaming.watch.reference import Comparison
from pegel.streaming.watch.references import BaselineCatalog
from pegel.tables.delta import DeltaTables, Row

MOST_BLOCKS = 64
"""A fault that is not told within so many blocks of all traffic is given up: no lag pools more of them."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What is planted.

    Attributes:
        onsets: how often each fault begins, at moments that are drawn.
        shift: of each watched number, in standard deviations of its baseline.
        share: of each watched category, and of failed events: a share of all events, 0 to 1.
        seed: decides where faults begin and which events they touch.
    """

    onsets: int
    shift: float
    share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Delay:
    """How one policy told one fault.

    Attributes:
        fault: what was planted.
        onsets: how often.
        told: how often an incident about its column opened within :data:`MOST_BLOCKS` blocks, and before the policy
            opens one of the model where nothing is planted: that would have told nothing.
        blocks: median, over all onsets, of the blocks of all traffic until then; None if most were not told.
        seconds: likewise, of the time between the commits of the first planted micro-batch and of the alert.
    """

    fault: Fault
    onsets: int
    told: int
    blocks: float | None
    seconds: float | None


class FaultDelays:
    """Plants faults into the history of one stream.

    Args:
        tables: the stream's.
        backtest: decides it again.
        first: the first micro-batch.
        before: the first one after.
        plan: what to plant.
    """

    def __init__(self, tables: DeltaTables, backtest: Backtest, first: int, before: int, plan: FaultPlan) -> None:
        self._tables = tables
        self._backtest = backtest
        self._before = before
        self._plan = plan
        self._by_itself: dict[tuple[tuple[str, str], int, str], datetime | None] = {}
        within = f"batch_id >= {first:d} AND batch_id < {before:d}"
        self._times: dict[int, datetime] = {
            row["batch_id"]: row["committed_at"]
            for row in tables.read("batches", f"SELECT batch_id, committed_at FROM t WHERE {within}")
        }
        asked = f"SELECT DISTINCT model, version FROM t WHERE segment = '{ALL}' AND kind = '{LIVE}' AND {within}"
        live = {(row["model"], row["version"]) for row in tables.read("profiles", asked)}
        known = BaselineCatalog(tables).known()
        newest: dict[str, str] = {}
        for model, version in sorted(live & known.keys(), key=lambda key: version_order(key[1])):
            newest[model] = version
        self._comparisons = {key: Comparison(known[key]) for key in sorted(newest.items())}

    def faults(self) -> list[Fault]:
        """What is planted: each watched column and the error rate of each model's newest version with a baseline."""
        return [fault for key, comparison in self._comparisons.items() for fault in self._of(key, comparison)]

    def measure(self, policies: Sequence[Policy], quiet_but: Sequence[ToldIncident]) -> list[tuple[Delay, ...]]:
        """For each fault, how each policy told it.

        Args:
            policies: which.
            quiet_but: incidents of history. No fault begins while one of its model is open, and what is told once the
                next one opens does not count, as nobody knows of which it speaks.
        """
        found = []
        for fault in self.faults():
            busy = [(one.opened, one.ended) for one in quiet_but if one.model == fault.model]
            onsets = {}
            for onset in self._onsets(fault.model, busy):
                at = self._times[onset]
                onsets[onset] = min((opened for opened, _ in busy if opened > at), default=None)
            found.append(tuple(self._delay(fault, onsets, policy) for policy in policies))
        return found

    def _of(self, key: tuple[str, str], comparison: Comparison) -> Iterator[Fault]:
        for name in comparison.watched:
            column = comparison.columns[name]
            if column.column.kind == grids.NUMERIC:
                sd = column.moments.sd or column.column.scale
                yield Fault(*key, FaultKind.SHIFT, name, self._plan.shift, self._plan.shift * sd)
            else:
                yield Fault(*key, FaultKind.SHARE, name, self._plan.share)
        if ERROR_RATE in comparison.rates:
            yield Fault(*key, FaultKind.FAILURES, ERROR_RATE, self._plan.share)

    def _onsets(self, model: str, busy: Sequence[tuple[datetime, datetime | None]]) -> list[int]:
        # What begins in the last tenth has little time to be told.
        early = sorted(self._times)[: max(1, len(self._times) * 9 // 10)]
        quiet = [
            batch_id
            for batch_id in early
            if not any(a <= self._times[batch_id] and (b is None or self._times[batch_id] <= b) for a, b in busy)
        ]
        rng = random.Random(f"{self._plan.seed}|{model}")
        return sorted(rng.sample(quiet, min(self._plan.onsets, len(quiet))))

    def _delay(self, fault: Fault, onsets: Mapping[int, datetime | None], policy: Policy) -> Delay:
        runs = [self._told(fault, onset, limit, policy) for onset, limit in onsets.items()]
        told = [run for run in runs if run is not None]
        if not onsets or 2 * len(told) <= len(onsets):
            return Delay(fault, len(onsets), len(told), None, None)
        # What was not told took longer than all that was.
        missing = [(float("inf"), float("inf"))] * (len(onsets) - len(told))
        every = [(float(blocks), took.total_seconds()) for blocks, took in told] + missing
        return Delay(fault, len(onsets), len(told), median(b for b, _ in every), median(s for _, s in every))

    def _told(self, fault: Fault, onset: int, limit: datetime | None, policy: Policy) -> tuple[int, timedelta] | None:
        comparison = self._comparisons[fault.model, fault.version]
        columns = {name: column.column for name, column in comparison.columns.items()}

        def planted(partial: Partial) -> Partial:
            return plant(partial, fault, columns, comparison.grid_id, self._plan.seed)

        for blocks, at, opened in self._openings((fault.model, fault.version), onset, policy, planted):
            if limit is not None and at >= limit:
                return None
            if any(fault.column in row["columns"] for row in opened):
                by_itself = self._opens_by_itself((fault.model, fault.version), onset, policy)
                return (blocks, at - self._times[onset]) if by_itself is None or at < by_itself else None
        return None

    def _opens_by_itself(self, version: tuple[str, str], onset: int, policy: Policy) -> datetime | None:
        """When a policy opens an incident of the model although nothing is planted; None if it does not so soon."""
        asked = (version, onset, policy.hash)
        if asked not in self._by_itself:
            unplanted = self._openings(version, onset, policy, None)
            self._by_itself[asked] = next((at for _, at, opened in unplanted if opened), None)
        return self._by_itself[asked]

    def _openings(
        self, version: tuple[str, str], onset: int, policy: Policy, planted: Planted | None
    ) -> Iterator[tuple[int, datetime, list[Row]]]:
        """For each micro-batch: the version's blocks of all traffic so far, its time, and the model's opened alerts."""
        blocks = 0
        for batch in self._backtest.run(policy, onset, self._before, planted):
            blocks += sum(
                (row["model"], row["version"], row["segment"]) == (*version, ALL) for row in batch.decided.blocks
            )
            opened = [row for row in batch.decided.alerts if row["state"] == AlertState.OPENED]
            yield blocks, batch.at, [row for row in opened if row["model"] == version[0]]
            if blocks >= MOST_BLOCKS:
                return
