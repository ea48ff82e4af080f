"""An alert in words: what happened, how large, since when, and what happens next by itself. Pure.

Only names of models, columns and segments and numbers go in, never the text of an event: the name of a category may be
an answer of the model, so a message says that shares moved and not which.
"""

from collections.abc import Sequence
from datetime import datetime

from pegel.alerts.incident import Incident
from pegel.schemas.partials import ALL
from pegel.schemas.policy import Action, RuleKind
from pegel.schemas.verdicts import AccuracyVerdict, RateVerdict, Verdict

_DIRECTIONS = {
    "location": "its centre moved",
    "scale": "its spread changed",
    "skew": "its shape leans to the other side",
    "tails": "its tails changed",
}
_STARTS = "starts by itself, or where webhook.mode is propose once it is approved"
_LISTED = 5
_NAME_LENGTH = 80


def opened(
    incident: Incident, loudest: Verdict, other_segments: Sequence[str], *, may_retrain: bool, held_back: str = ""
) -> tuple[str, str]:
    """Title and message of an incident that a block opened; ``held_back`` says why nobody is told, if so."""
    elsewhere = f" It also rang in {listed(other_segments)}." if other_segments else ""
    after = f"If they do, a retraining {_STARTS}." if may_retrain else "If they do, a person has to look."
    settled = f"The windows of this evidence confirm or retract it by themselves once they are final. {after}"
    return (
        f"{_kind(incident)} in {_version(incident)}: {listed(incident.columns)}",
        f"{_what(incident, loudest)}{elsewhere} {_trust(loudest)} {held_back or settled}",
    )


def confirmed(
    incident: Incident, loudest: Verdict, action: Action, quiet_blocks: int, diagnosis: str = ""
) -> tuple[str, str]:
    """Title and message of an incident that the final windows confirmed; the diagnosis is told in sentences."""
    units = "labelled windows" if incident.rule.kind is RuleKind.QUALITY else "blocks"
    closes = f"The incident closes by itself after {quiet_blocks} quiet {units} in a row"
    if action is Action.RETRAIN:
        after = f"A retraining {_STARTS}. {closes}, once the new model has proven itself."
    elif incident.rule.action is Action.RETRAIN and not incident.calibrated:
        after = f"Nothing is retrained by itself while the bound is uncalibrated: a person has to decide. {closes}."
    else:
        after = f"Nothing is retrained by itself. {closes}."
    return (
        f"{_kind(incident)} confirmed in {_version(incident)}: {listed(incident.columns)}",
        " ".join(filter(None, (_what(incident, loudest), _trust(loudest), "The windows are final.", diagnosis, after))),
    )


def retracted(incident: Incident) -> tuple[str, str]:
    """Title and message of an incident that the final windows do not show."""
    why, shown = _retractions(incident.rule.kind), f"what a block showed for {listed(incident.columns)}"
    if incident.rule.kind is RuleKind.QUALITY:
        shown = "the loss of accuracy that their first labels showed"
    return (
        f"{_kind(incident)} in {_version(incident)} retracted",
        f"The final windows of {_where(incident)} do not show {shown}: {why}",
    )


def resolved(incident: Incident, *, proven: bool) -> tuple[str, str]:
    """Title and message of an incident that is over."""
    units = "labelled windows" if incident.rule.kind is RuleKind.QUALITY else "blocks"
    how = f"{incident.quiet} {units} in a row of version {plain(incident.newest)} were quiet"
    proof = ", and the retrained model has proven itself" if proven else ""
    return (
        f"{_kind(incident)} in {plain(incident.model)} is over",
        f"{how}{proof}. It began {moment(incident.since)} with {listed(incident.columns)} of version "
        f"{plain(incident.version)}. There is nothing to do.",
    )


def unconserved(batch_id: int) -> tuple[str, str]:
    """Title and message of a micro-batch whose events do not add up."""
    return (
        "Events of the pipeline do not add up",
        f"In micro-batch {batch_id} the received events are not the sum of stored, dead and duplicate ones, or the "
        "stored ones are not those in the partials: events were lost or counted twice, and later numbers may be wrong. "
        "The pipeline goes on; a person has to look.",
    )


def conserved_again(incident: Incident) -> tuple[str, str]:
    """Title and message of the end of such an incident."""
    return (
        "Events of the pipeline add up again",
        f"{incident.quiet} micro-batches in a row added up. What micro-batch {incident.first_batch_id} lost or counted "
        "twice stays so until it is rebuilt.",
    )


def _kind(incident: Incident) -> str:
    return {RuleKind.RATE: "A raised rate", RuleKind.QUALITY: "A loss of accuracy"}.get(incident.rule.kind, "Drift")


def _retractions(kind: RuleKind) -> str:
    if kind is RuleKind.QUALITY:
        return "labels that came since, or were corrected, have changed it. There is nothing to do."
    if kind is RuleKind.RATE:
        return "over them as a whole it is too small to matter. If this comes again, look at the rates of the blocks."
    return "late events have filled them up. There is nothing to do."


def _what(incident: Incident, loudest: Verdict) -> str:
    if isinstance(loudest, AccuracyVerdict):
        return _what_accuracy(incident, loudest)
    if isinstance(loudest, RateVerdict):
        return _what_rate(incident, loudest)
    direction = _DIRECTIONS.get(loudest.direction, "the shares of its categories moved")
    count = len(incident.columns)
    head = f"{count} columns of" if count > 1 else "One column of"
    return (
        f"{head} {_where(incident)} left the baseline {incident.baseline_id or 'of this version'}: "
        f"{listed(incident.columns)}. The loudest is {plain(loudest.column)}: {direction}, by {loudest.effect:.3g} "
        f"baseline standard deviations over n = {loudest.n} events (statistic {loudest.statistic:.4g}, bound "
        f"{loudest.threshold:.4g}, p = {loudest.p_value:.2g}), since {moment(incident.since)}."
    )


def _what_rate(incident: Incident, rate: RateVerdict) -> str:
    others = f" {listed(incident.columns[1:])} rose too." if len(incident.columns) > 1 else ""
    return (
        f"The {plain(rate.column)} of {_where(incident)} is {rate.hits / rate.n:.3g} over n = {rate.n} events (95 % "
        f"interval {rate.lower:.3g} to {rate.upper:.3g}), since {moment(incident.since)}. The baseline "
        f"{incident.baseline_id or 'of this version'} has {rate.baseline_hits / rate.baseline_n:.3g} of n = "
        f"{rate.baseline_n} and allows at most {rate.bound:.3g}; the shift is {rate.effect:.3g} standard deviations."
        f"{others}"
    )


def _what_accuracy(incident: Incident, found: AccuracyVerdict) -> str:
    right = found.n - found.hits
    return (
        f"The accuracy of {_where(incident)} is {right / found.n:.3g} over n = {found.n} labelled events (95 % "
        f"interval {1 - found.upper:.3g} to {1 - found.lower:.3g}), since {moment(incident.since)}; "
        f"{found.label_completeness:.0%} of the events of these windows have a label. The baseline "
        f"{incident.baseline_id or 'of this version'} has {1 - found.baseline_hits / found.baseline_n:.3g} of n = "
        f"{found.baseline_n} and allows no less than {1 - found.bound:.3g}; the shift is {found.effect:.3g} standard "
        "deviations."
    )


def _trust(loudest: Verdict) -> str:
    if loudest.calibrated:
        return "The bound is calibrated: it keeps the budget of false alarms."
    return "The bound is uncalibrated: the baseline is too young to know how much quiet blocks differ from each other."


def _where(incident: Incident) -> str:
    where = "all traffic" if incident.segment == ALL else f"segment {plain(incident.segment)}"
    return f"{_version(incident)} ({where})"


def _version(incident: Incident) -> str:
    return f"{plain(incident.model)} {plain(incident.version)}"


def listed(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    shown = ", ".join(plain(name) for name in names[:_LISTED])
    rest = len(names) - _LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def plain(text: object, longest: int = _NAME_LENGTH) -> str:
    """Names come from outside: on one line, printable, and short.

    Example:
        >>> plain(f"a{chr(27)}[2J", 3)
        'a?['
    """
    return "".join(char if char.isprintable() else "?" for char in str(text)[:longest])


def moment(at: datetime | None) -> str:
    """A time as messages write it; one that is not known is said to be so."""
    return "an unknown time" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
