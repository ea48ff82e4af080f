"""A diagnosis in words: the cause, what speaks for it, and what follows. Pure.

Like a message it holds names of columns, segments, partitions and reasons, and never a category's or a person's.
"""

from collections.abc import Sequence

from pegel.alerts.message import plain
from pegel.schemas.diagnosis import Cause, Finding, FindingKind

_TOLD = 4

_CAUSES = {
    Cause.PIPELINE_FAULT: "the data is faulty, and a model that is trained on it would learn the fault",
    Cause.LABEL_CHANGE: "only labels say that answers got worse, and they come from others than before",
    Cause.MIX_SHIFT: "known segments have other shares, and inside each of them all is as before",
    Cause.HARMLESS_SHIFT: "the inputs moved, and the answers are no worse",
    Cause.HARMFUL_SHIFT: "the inputs moved to where the answers are worse, or beyond what the baseline has seen",
    Cause.CONCEPT_LOSS: "the answers got worse by their labels, and the inputs do not explain it",
    Cause.UNKNOWN: "the cause cannot be told: too few labels have come, and no estimate without them is sure enough",
}

_FINDINGS = {
    FindingKind.MISSING: "missing values of {}",
    FindingKind.NON_FINITE: "values of {} that are no finite number",
    FindingKind.MAGNITUDE: "values of {} in another order of magnitude or with another sign (a unit?)",
    FindingKind.STUCK: "values of {} that are all the same",
    FindingKind.RESPELLED: "categories of {} that are new where known ones went (a new spelling?)",
    FindingKind.FAILED_CALLS: "calls that failed",
    FindingKind.DEAD_LETTERS: "events that were refused ({})",
    FindingKind.EXPIRED: "events that expired unread",
    FindingKind.SILENT_PARTITION: "micro-batches with events of partition {}, which fell silent",
    FindingKind.UNCONSERVED: "micro-batches whose events do not add up",
    FindingKind.LABEL_SOURCES: "labels from the source that grew most",
    FindingKind.SEGMENT_SHARE: "events of segment {}",
    FindingKind.WEAK_ANSWERS: "answers as unsure as the baseline's most unsure ones",
    FindingKind.UNSEEN_NAMES: "categories of {} that the baseline never had",
    FindingKind.BEYOND_RANGE: "values of {} beyond the baseline's range",
    FindingKind.ACCURACY: "accuracy by labels",
    FindingKind.ESTIMATED_ACCURACY: "accuracy as estimated without labels",
}


def cause_in_words(cause: Cause) -> str:
    """The cause as a clause."""
    return _CAUSES[cause]


def finding_in_words(finding: Finding) -> str:
    """One finding.

    Example:
        >>> finding_in_words(Finding(FindingKind.MISSING, "age", 0.312, 900, 0.0, 3000))
        'missing values of age: 31.2 % of 900, usually 0 % of 3000'
    """
    what = _FINDINGS[finding.kind].format(plain(finding.subject))
    interval = ""
    if finding.lower is not None and finding.upper is not None:
        interval = f" (95 % interval {_percent(finding.lower)} to {_percent(finding.upper)})"
    usual = "" if finding.usual is None else f", usually {_percent(finding.usual)} of {finding.usual_n}"
    return f"{what}: {_percent(finding.share)} of {finding.n}{interval}{usual}"


def diagnosis_in_words(cause: Cause, findings: Sequence[Finding], owner: str | None) -> str:
    """Sentences for a message.

    Example:
        >>> diagnosis_in_words(Cause.UNKNOWN, (), None)[:38]
        'Diagnosis: the cause cannot be told: t'
    """
    told = "; ".join(finding_in_words(finding) for finding in findings[:_TOLD])
    rest = len(findings) - _TOLD
    evidence = f" ({told}{f'; and {rest} more' if rest > 0 else ''})" if told else ""
    called = f" The owner of the data is called: {plain(owner)}." if owner else ""
    return f"Diagnosis: {cause_in_words(cause)}{evidence}.{called}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
