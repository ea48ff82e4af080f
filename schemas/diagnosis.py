"""What an incident is diagnosed from, and what it may turn out to be: the words of watch, alerts and tables. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why an incident came, in the order in which causes are asked for; the first that fits is told."""

    PIPELINE_FAULT = "pipeline_fault"
    """The data is broken on its way: missing, respelled, in another unit, refused, lost."""
    LABEL_CHANGE = "label_change"
    """Only labels say that quality fell, and who gives them has changed."""
    MIX_SHIFT = "mix_shift"
    """Known segments have other shares, and inside each of them all is as before."""
    HARMLESS_SHIFT = "harmless_shift"
    """The inputs moved, and quality did not."""
    HARMFUL_SHIFT = "harmful_shift"
    """The inputs moved, and with them quality, or beyond what the baseline has seen."""
    CONCEPT_LOSS = "concept_loss"
    """Labels say that quality fell, and the inputs do not explain it: what is right has changed."""
    UNKNOWN = "unknown"
    """It cannot be told: no labels yet, no estimate, no baseline."""


class FindingKind(StrEnum):
    """What was compared."""

    # Faults of the data.
    MISSING = "missing"
    """Events without a value in a column."""
    NON_FINITE = "non_finite"
    """Values that are NaN or infinite."""
    MAGNITUDE = "magnitude"
    """Values ten times beyond all that the baseline has, or with another sign."""
    STUCK = "stuck"
    """Values that are all the same, to a cell."""
    RESPELLED = "respelled"
    """Categories with a new name beside a known one that has gone, or that is the same but for its spelling."""
    FAILED_CALLS = "failed_calls"
    """Events with an error."""
    DEAD_LETTERS = "dead_letters"
    """Refused events, by their reason."""
    EXPIRED = "expired"
    """Events that expired unread."""
    SILENT_PARTITION = "silent_partition"
    """Micro-batches in which something of one partition came."""
    UNCONSERVED = "unconserved"
    """Micro-batches whose events do not add up."""
    # Labels.
    LABEL_SOURCES = "label_sources"
    """Labels by the source that grew most."""
    # The mix.
    SEGMENT_SHARE = "segment_share"
    """Events of one segment."""
    # The baseline's support.
    WEAK_ANSWERS = "weak_answers"
    """Answers as unsure as the baseline's most unsure ones."""
    UNSEEN_NAMES = "unseen_names"
    """Categories that the baseline does not have."""
    BEYOND_RANGE = "beyond_range"
    """Values below the baseline's lowest or above its highest."""
    # Quality.
    ACCURACY = "accuracy"
    """Right answers among the labelled ones."""
    ESTIMATED_ACCURACY = "estimated_accuracy"
    """Right answers that are expected without labels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One share now, and what is usual.

    Attributes:
        subject: the column, segment, partition or reason that it is about; ``""`` where it is about all.
        share: now, 0 to 1.
        n: events (labels, micro-batches) behind it.
        usual: of the baseline or of the time before, 0 to 1; None if that is not known.
        usual_n: events behind that.
        lower: lower end of the 95 % interval of ``share``, to be compared with ``usual``: where that is a sample by
            itself, as by labels, the interval is ``usual`` plus that of the difference. None where it was not needed.
        upper: upper end.
    """

    kind: FindingKind
    subject: str
    share: float
    n: int
    usual: float | None
    usual_n: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Symptoms:
    """All that was found about an incident; whatever is listed is more than chance and large enough to matter.

    Attributes:
        faults: of the data.
        labels: what has changed about them.
        mix: segments whose share has moved, if that explains the drift of every column that rang; else nothing.
        outside: signs that events lie outside the baseline's support.
        realised: accuracy by labels; None while too few have come.
        estimated: accuracy without labels, its lower end as if all that is outside were answered wrongly; None where
            none can be told.
        moved: whether a column left its baseline; else only labels rang.
    """

    faults: tuple[Finding, ...] = ()
    labels: tuple[Finding, ...] = ()
    mix: tuple[Finding, ...] = ()
    outside: tuple[Finding, ...] = ()
    realised: Finding | None = None
    estimated: Finding | None = None
    moved: bool = True


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A cause and the findings that speak for it."""

    cause: Cause
    findings: tuple[Finding, ...] = ()


def finding_to_row(finding: Finding) -> dict[str, Any]:
    """As an entry of ``alerts.findings``; :func:`finding_from_row` reads it back."""
    row = {field.name: getattr(finding, field.name) for field in fields(Finding)}
    return {**row, "kind": finding.kind.value}


def finding_from_row(row: Mapping[str, Any]) -> Finding:
    """Read an entry of ``alerts.findings``.

    Example:
        >>> found = Finding(FindingKind.MISSING, "age", 0.3, 200, 0.0, 1000)
        >>> finding_from_row(finding_to_row(found)) == found
        True
    """
    return Finding(**{**row, "kind": FindingKind(row["kind"])})
