"""One incident: what it rests on, what it has heard since, and whether it may end. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from pegel.schemas.metric_names import ACCURACY, QUALITY, RATES
from pegel.schemas.partials import ALL
from pegel.schemas.policy import Action, AlertState, Rule, RuleKind
from pegel.schemas.verdicts import (
    AccuracyVerdict,
    BlockVerdict,
    ColumnVerdict,
    Evidence,
    RateVerdict,
    Verdict,
    WindowVerdict,
)

PIPELINE = "*"
"""Stands for the model in incidents about the pipeline itself."""

PROVEN = "proven"
"""The last good state of a retraining, see the table ``retrainings``."""

Row = dict[str, Any]

Judgement = BlockVerdict | WindowVerdict
"""What rules about a model hear: blocks, or for a rule about quality windows whose labels have come."""


@dataclass(slots=True)
class Incident:
    """An unresolved incident of one model and one rule.

    Attributes:
        version: the model version whose block opened it.
        segment: the segment whose block opened it.
        columns: the columns (or rates) that rang, the loudest first.
        calibrated: whether the verdict behind its last transition keeps the false-alarm budget.
        first_batch_id: first micro-batch of the evidence.
        last_batch_id: last micro-batch of the evidence.
        opened_in: the micro-batch that opened it.
        awaits_proof: whether it may not end before its retraining has proven itself.
        newest: the newest version heard since it opened.
        quiet: how many quiet blocks of that version came in a row.
        inhibited_by: the incident of the pipeline because of which it is not sent; None if it is.
    """

    incident_id: str
    model: str
    rule: Rule
    version: str
    segment: str
    columns: tuple[str, ...]
    calibrated: bool
    baseline_id: str | None
    first_batch_id: int
    last_batch_id: int
    since: datetime | None
    windows: tuple[tuple[datetime, int], ...]
    opened_in: int
    state: AlertState = AlertState.OPENED
    sequence: int = 1
    awaits_proof: bool = False
    newest: str = ""
    quiet: int = 0
    inhibited_by: str | None = None

    @property
    def column(self) -> str:
        """The column that rang loudest; empty where the rule is not about columns."""
        return self.columns[0] if self.columns else ""

    @property
    def window_end(self) -> datetime | None:
        """End of the last window of the evidence."""
        return max((start + timedelta(seconds=seconds) for start, seconds in self.windows), default=None)

    @property
    def evidence(self) -> Evidence:
        """What final windows have to confirm or retract."""
        columns, rates = (self.columns, ()) if self.rule.kind is RuleKind.DRIFT else ((), self.columns)
        where = self.model, self.version, self.segment
        return Evidence(self.incident_id, *where, columns, self.windows, rates, self.first_batch_id)

    def hear_blocks(self, blocks: Sequence[Judgement]) -> None:
        """Count quiet blocks, one micro-batch at a time; for a rule about quality, quiet judged windows.

        Only the newest version counts: what an older one still says is history. A ring in any segment starts the count
        again; only blocks of all traffic add to it, since a small segment may never close another block.
        """
        mine = [block for block in blocks if block.model == self.model]
        newest = max((block.version for block in mine), key=version_order, default=self.newest)
        if version_order(newest) > version_order(self.newest):
            self.newest, self.quiet = newest, 0
        current = [block for block in mine if block.version == self.newest]
        if any(rings_in(self.rule, block) for block in current):
            self.quiet = 0
        else:
            self.quiet += sum(block.segment == ALL for block in current)

    def hear_counts(self, conserved: bool) -> None:
        """Count micro-batches in which every event was accounted for."""
        self.quiet = self.quiet + 1 if conserved else 0

    def may_end(self, quiet_enough: int, retraining: str | None) -> bool:
        """Whether a confirmed incident is over.

        Args:
            quiet_enough: so many quiet blocks in a row are needed.
            retraining: latest state of its retraining, None if there is none. A retraining that failed, was rejected or
                rolled back leaves the incident open: a person has to look.
        """
        needs_proof = self.awaits_proof or retraining is not None
        return (
            self.state is AlertState.CONFIRMED
            and self.quiet >= quiet_enough
            and (retraining == PROVEN or not needs_proof)
        )


def incident_key(model: str, rule: str, batch_id: int) -> str:
    """The name of the incident that a micro-batch opens; the same after any replay.

    Example:
        >>> len(incident_key("assistant", "drift", 7))
        16
    """
    return hashlib.sha256(f"{model}|{rule}|{batch_id}".encode()).hexdigest()[:16]


def alert_key(incident_id: str, sequence: int) -> str:
    """The name of one transition of an incident."""
    return hashlib.sha256(f"{incident_id}|{sequence}".encode()).hexdigest()[:32]


def rings_in(rule: Rule, judged: Judgement) -> tuple[Verdict, ...]:
    """What of a block or of a judged window rings for a rule: its columns, or its rates."""
    if rule.kind is RuleKind.DRIFT and isinstance(judged, BlockVerdict):
        return rings(rule, judged.columns)
    return rings(rule, judged.rates)


def rings(rule: Rule, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts that ring for a rule and are large enough to matter, the loudest first."""
    heard = [v for v in verdicts if v.rang and rule.covers(v.column) and v.effect >= rule.minimum_effect]
    return tuple(sorted(heard, key=lambda verdict: (-loudness(verdict), verdict.column)))


def loudness(verdict: Verdict) -> float:
    """How many times its bound the statistic is."""
    return verdict.statistic / verdict.threshold if verdict.threshold > 0 else verdict.statistic


def version_order(version: str) -> tuple[int, int, str]:
    """Sorts the registry's versions, which are numbers written as text; other names come before all numbers.

    Example:
        >>> sorted(["10", "9", "canary"], key=version_order)
        ['canary', '9', '10']
    """
    # The text comes from events: a number of thousands of digits is a name, not a version.
    is_number = version.isascii() and version.isdigit() and len(version) <= 18
    return (1, int(version), version) if is_number else (0, 0, version)


def verdict_from_block(row: Mapping[str, Any]) -> BlockVerdict:
    """What incidents need of a row of ``blocks``; its windows are not in the table."""
    return BlockVerdict(
        row["model"],
        row["version"],
        row["segment"],
        row["block_no"],
        row["first_batch_id"],
        row["last_batch_id"],
        row["n"],
        row["last_enqueued"],
        row["baseline_id"] or "",
        tuple(ColumnVerdict(**verdict) for verdict in row["verdicts"]),
        (),
        None,
        rates=tuple(RateVerdict(**rate) for rate in row.get("rates") or ()),
    )


def verdict_from_window(row: Mapping[str, Any]) -> WindowVerdict:
    """What incidents need of a row of ``metrics`` about a judged window."""
    names = {field.name for field in fields(AccuracyVerdict)} & row["judged"].keys()
    verdict = AccuracyVerdict(column=ACCURACY, **{name: row["judged"][name] for name in names})
    return WindowVerdict(
        row["model"],
        row["version"],
        row["segment"],
        row["window_start"],
        row["window_s"],
        row["judged"]["first_batch_id"],
        row["batch_id"],
        row["baseline_id"],
        (verdict,),
    )


def incident_from_rows(rows: Sequence[Mapping[str, Any]], rule: Rule | None) -> Incident:
    """Rebuild an incident from all its rows of ``alerts``.

    Args:
        rows: at least one, in any order.
        rule: the rule of that name; if the policy has none any more, the rows say how it was.
    """
    first, *_ = ordered = sorted(rows, key=lambda row: row["sequence"])
    last = ordered[-1]
    return Incident(
        incident_id=first["incident_id"],
        model=first["model"],
        rule=rule or _rule_from_row(first),
        version=first["version"],
        segment=first["segment"],
        columns=tuple(last["columns"]),
        calibrated=bool(last["calibrated"]),
        baseline_id=first["baseline_id"],
        first_batch_id=first["first_batch_id"],
        last_batch_id=first["last_batch_id"],
        since=first["since"],
        windows=tuple((window["start"], window["window_s"]) for window in first["windows"]),
        opened_in=first["batch_id"],
        state=AlertState(last["state"]),
        sequence=last["sequence"],
        awaits_proof=last["state"] == AlertState.CONFIRMED and last["action"] == Action.RETRAIN,
        newest=first["version"],
        # Rows of older versions do not have it.
        inhibited_by=first.get("inhibited_by"),
    )


def _rule_from_row(row: Mapping[str, Any]) -> Rule:
    # No row says its rule's kind; only a rate rings for a rule about rates, and only quality for one about that.
    kind = RuleKind.RATE if row["column"] in RATES else RuleKind.DRIFT
    kind = RuleKind.QUALITY if row["column"] in QUALITY else kind
    # Only what is about the pipeline has no version; it ends at once, see pipeline_message.forgotten.
    kind = kind if row["version"] else RuleKind.CONSERVATION
    return Rule(row["rule"], kind, "*", 0.0, row["severity"], Action(row["action"]), row["runbook"])
