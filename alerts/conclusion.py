"""What a diagnosis adds to a confirmed alert: the action, words for its message, and its columns. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pegel.alerts.diagnosis import action_after, diagnose, owner_of
from pegel.alerts.diagnosis_message import diagnosis_in_words
from pegel.schemas.diagnosis import Symptoms, finding_to_row
from pegel.schemas.policy import Action, DiagnosisPolicy, Rule, RuleKind

NOT_DIAGNOSED: Mapping[str, Any] = MappingProxyType({"cause": None, "owner": None, "findings": None})
"""The columns of an alert without a diagnosis."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What follows for one alert.

    Attributes:
        action: what it asks for, as far as the cause says.
        words: sentences for its message; empty without a diagnosis.
        columns: ``cause``, ``owner`` and ``findings`` of its row.
    """

    action: Action
    words: str
    columns: Mapping[str, Any]


def conclude(rule: Rule, look: Callable[[], Symptoms | None], policy: DiagnosisPolicy) -> Conclusion:
    """Diagnose a confirmed incident.

    Args:
        rule: of the incident. One on rates says itself what is wrong, and is not diagnosed.
        look: asked for the symptoms of the incident; None if there was nothing to compare with.
        policy: what follows from causes.
    """
    if rule.kind is RuleKind.RATE:
        return Conclusion(rule.action, "", NOT_DIAGNOSED)
    found = diagnose(look(), policy.harmless_loss)
    owner = owner_of(found, policy)
    findings = [finding_to_row(finding) for finding in found.findings]
    return Conclusion(
        action_after(rule, found, policy),
        diagnosis_in_words(found.cause, found.findings, owner),
        {"cause": found.cause.value, "owner": owner, "findings": findings},
    )
