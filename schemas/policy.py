"""What an alert policy is: rules, their actions, and the budget of false alarms. Pure."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal


class RuleKind(StrEnum):
    """What a rule listens to."""

    DRIFT = "drift"
    """The verdicts of the watch about columns of closed blocks."""
    RATE = "rate"
    """Its verdicts about rates that have risen above their baseline's, see ``metric_names.RATES``."""
    QUALITY = "quality"
    """Its verdicts about windows whose labels have come, see ``metric_names.QUALITY``."""
    CONSERVATION = "conservation"
    """Whether every event of a micro-batch was accounted for."""
    NO_DATA = "no_data"
    """Whether a model, or a partition of a hub, that had events has none any more while others have."""
    DEAD_LETTERS = "dead_letters"
    """Whether too many events are refused."""
    HEARTBEAT = "heartbeat"
    """Whether the stream still commits micro-batches."""
    LAG = "lag"
    """Whether it is too far behind the hubs."""


PIPELINE_KINDS = frozenset({RuleKind.CONSERVATION, RuleKind.NO_DATA, RuleKind.DEAD_LETTERS})
"""What is about the pipeline itself and decided in the stream. While an incident of such a rule is open, what the rules
of :data:`INHIBITED_KINDS` find in the models that it touches is recorded and not sent, and retrains nothing."""

BESIDE_KINDS = frozenset({RuleKind.HEARTBEAT, RuleKind.LAG})
"""What is decided beside the stream, by whoever delivers alerts: a stream that is dead cannot say so."""

INHIBITED_KINDS = frozenset({RuleKind.DRIFT})


class Action(StrEnum):
    """What an alert asks for."""

    PAGE = "page"
    RETRAIN = "retrain"
    NONE = "none"


class AlertState(StrEnum):
    """The transitions of an incident: opened, then confirmed or retracted; what was confirmed is resolved at last."""

    OPENED = "opened"
    CONFIRMED = "confirmed"
    RETRACTED = "retracted"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the policy.

    Attributes:
        name: its name; with the model it names an incident.
        kind: what it listens to.
        columns: the columns it is about, or the rates, or what is judged by labels, or whose silence (see
            :data:`pegel.schemas.health.SILENT`), or ``"*"`` for all.
        minimum_effect: a shift below this many baseline standard deviations is too small to matter; of a rate that is
            Cohen's h, see :class:`~pegel.schemas.verdicts.RateVerdict`.
        severity: 0 (worst) to 4, as in Azure Monitor.
        action: what a confirmed alert asks for; ``none`` only records.
        runbook: page of ``docs/runbook``.
        for_seconds: how long it has to last, or how far a share looks back; 0 where the kind has no such time.
        limit: the largest share that is allowed, 0 to 1; 0 where the kind has none.
    """

    name: str
    kind: RuleKind
    columns: tuple[str, ...] | Literal["*"]
    minimum_effect: float
    severity: int
    action: Action
    runbook: str
    for_seconds: float = 0.0
    limit: float = 0.0

    def covers(self, column: str) -> bool:
        """Whether the rule is about this column.

        Example:
            >>> Rule("drift", RuleKind.DRIFT, "*", 0.1, 2, Action.PAGE, "drift.md").covers("confidence")
            True
        """
        return self.columns == "*" or column in self.columns


@dataclass(frozen=True, slots=True)
class DiagnosisPolicy:
    """What follows from the cause of a confirmed incident.

    Attributes:
        data_owner: whom a fault of the data or a change of the labels calls: a name that alert rules can route by.
        undiagnosed_may_retrain: whether an incident whose cause cannot be told may start a retraining; else it pages.
        harmless_loss: an accuracy that falls by up to so much is no loss, 0 to 1.
    """

    data_owner: str = "data-owner"
    undiagnosed_may_retrain: bool = True
    harmless_loss: float = 0.05


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, and what all of them share.

    Attributes:
        alerts_per_month: the false alarms that the rules may raise together in 30 days while nothing drifts.
        uncalibrated_may_retrain: whether an alert whose bound is not calibrated yet may start a retraining;
            if not, it pages a person.
        resolve_after_blocks: so many quiet blocks in a row end a confirmed incident.
        rules: at least one, each with its own name.
        diagnosis: what follows from causes.
    """

    alerts_per_month: float
    uncalibrated_may_retrain: bool
    resolve_after_blocks: int
    rules: tuple[Rule, ...]
    diagnosis: DiagnosisPolicy = DiagnosisPolicy()

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name the content; comments and the order of keys in the file do not matter."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
