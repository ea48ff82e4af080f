"""From symptoms to a cause, and from a cause to what is asked for: diagnose, then retrain. Pure.

Causes are asked for in the order of :class:`~pegel.schemas.diagnosis.Cause`, and the first that fits is told. Broken
data comes first: a model that is trained on it learns the fault. Only the last two causes retrain.
"""

from enum import Enum

from pegel.schemas.diagnosis import Cause, Diagnosis, Finding, Symptoms
from pegel.schemas.policy import Action, DiagnosisPolicy, Rule

RETRAINED = frozenset({Cause.HARMFUL_SHIFT, Cause.CONCEPT_LOSS})
"""The causes that a retraining mends."""

OF_THE_DATA = frozenset({Cause.PIPELINE_FAULT, Cause.LABEL_CHANGE})
"""The causes that the data's owner mends."""


class Loss(Enum):
    """What an accuracy says."""

    SHOWN = "shown"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


def loss(accuracy: Finding | None, harmless: float) -> Loss:
    """Whether quality fell.

    Args:
        accuracy: with its interval; None if it cannot be told.
        harmless: a loss of up to so much does not matter, 0 to 1.

    Returns:
        shown, if it is larger than that and more than chance; excluded, if the whole interval is above what would
        matter; else unknown.

    Example:
        >>> from pegel.schemas.diagnosis import FindingKind
        >>> [
        ...     loss(Finding(FindingKind.ACCURACY, "", share, 400, 0.9, 2000, share - 0.03, share + 0.03), 0.05).value
        ...     for share in (0.7, 0.86, 0.9)
        ... ]
        ['shown', 'unknown', 'excluded']
    """
    if accuracy is None or accuracy.usual is None or accuracy.lower is None or accuracy.upper is None:
        return Loss.UNKNOWN
    if accuracy.share < accuracy.usual - harmless and accuracy.upper < accuracy.usual:
        return Loss.SHOWN
    return Loss.EXCLUDED if accuracy.lower >= accuracy.usual - harmless else Loss.UNKNOWN


def diagnose(symptoms: Symptoms | None, harmless_loss: float) -> Diagnosis:
    """The first cause that fits.

    Args:
        symptoms: of the incident; None if there was nothing to compare with.
        harmless_loss: see :func:`loss`.
    """
    if symptoms is None:
        return Diagnosis(Cause.UNKNOWN)
    # So few events outside cannot cost more than what is harmless; more of them, and no estimate can be trusted.
    outside = tuple(one for one in symptoms.outside if one.share - (one.usual or 0.0) > harmless_loss)
    realised = loss(symptoms.realised, harmless_loss)
    estimated = Loss.UNKNOWN if outside else loss(symptoms.estimated, harmless_loss)
    trusted = (symptoms.realised, None if outside else symptoms.estimated)
    quality = tuple(told for told in trusted if told is not None)
    # What labels say and the inputs do not: the labels are other, or what is right is.
    unexplained = realised is Loss.SHOWN and estimated is not Loss.SHOWN and not outside
    no_worse = realised is Loss.EXCLUDED or (realised is Loss.UNKNOWN and estimated is Loss.EXCLUDED)
    moved_and_worse = symptoms.moved and realised is Loss.SHOWN and estimated is not Loss.EXCLUDED
    causes = (
        (Cause.PIPELINE_FAULT, bool(symptoms.faults), symptoms.faults),
        (Cause.LABEL_CHANGE, unexplained and bool(symptoms.labels), (*symptoms.labels, *quality)),
        (Cause.MIX_SHIFT, bool(symptoms.mix) and not unexplained, (*symptoms.mix, *quality)),
        (Cause.HARMLESS_SHIFT, symptoms.moved and no_worse, quality),
        (
            Cause.HARMFUL_SHIFT,
            bool(outside) or estimated is Loss.SHOWN or moved_and_worse,
            (*outside, *quality),
        ),
        (Cause.CONCEPT_LOSS, realised is Loss.SHOWN, quality),
    )
    found = (Diagnosis(cause, findings) for cause, fits, findings in causes if fits)
    return next(found, Diagnosis(Cause.UNKNOWN, quality))


def action_after(rule: Rule, diagnosis: Diagnosis, policy: DiagnosisPolicy) -> Action:
    """What a confirmed incident asks for, as far as its cause says.

    A rule that asks for no retraining is left as it is: a page is not taken back.

    Args:
        rule: of the incident.
        diagnosis: of it.
        policy: says what follows where the cause cannot be told.
    """
    cause = diagnosis.cause
    if rule.action is not Action.RETRAIN or cause in RETRAINED:
        return rule.action
    if cause is Cause.UNKNOWN:
        return Action.RETRAIN if policy.undiagnosed_may_retrain else Action.PAGE
    return Action.PAGE if cause in OF_THE_DATA else Action.NONE


def owner_of(diagnosis: Diagnosis, policy: DiagnosisPolicy) -> str | None:
    """Whom the cause calls beside those who are on call for the model; None if nobody."""
    return policy.data_owner if diagnosis.cause in OF_THE_DATA else None
