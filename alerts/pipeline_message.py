"""An alert about the pipeline in words. Pure.

Like every message it holds names and numbers and never the text of an event.
"""

from pegel.alerts.incident import PIPELINE, Incident
from pegel.alerts.message import listed, moment, plain
from pegel.schemas.health import REMEMBERED, Fault
from pegel.schemas.policy import Action, Rule, RuleKind

_UNTIL = "Until this is over, drift is recorded and not sent, and retrains nothing. "


def began(rule: Rule, fault: Fault) -> tuple[str, str]:
    """Title and message of a fault."""
    until = _UNTIL if rule.action is Action.PAGE else ""
    if rule.kind is RuleKind.DEAD_LETTERS:
        return (
            f"{fault.value:.3g} of the events are refused",
            f"Of the n = {fault.n} events of the last {rule.for_seconds:g} s {fault.value:.3g} were refused, where "
            f"{fault.threshold:g} are allowed; the first since {moment(fault.since)}, in micro-batch "
            f"{fault.first_batch_id}. Their reasons are in the table dead_letters. {until}It ends by itself "
            "when less than half of the allowed share is refused.",
        )
    who = listed(fault.sources) if fault.model == PIPELINE else f"the model {plain(fault.model)}"
    return (
        f"No events of {who}",
        f"No event of {who} has come since {moment(fault.since)}, while others have: {fault.value:.0f} s of "
        f"traffic, where {fault.threshold:.0f} s are the limit (never less than three times the longest pause in the "
        f"last {REMEMBERED} micro-batches). The last one was in micro-batch {fault.first_batch_id}. "
        f"{until}It ends by itself when events come again.",
    )


def ended(incident: Incident) -> tuple[str, str]:
    """Title and message of its end."""
    if incident.rule.kind is RuleKind.DEAD_LETTERS:
        return (
            "Few events are refused again",
            f"It began {moment(incident.since)}. What was refused stays in the table dead_letters and can be sent "
            "again once its cause is mended.",
        )
    who = listed(incident.columns) if incident.model == PIPELINE else f"the model {plain(incident.model)}"
    words = f"The last one before was of {moment(incident.since)}. There is nothing to do."
    return f"Events of {who} come again", words


def gone(incident: Incident) -> tuple[str, str]:
    """Title and message of the end of a silence that lasts."""
    who = listed(incident.columns) if incident.model == PIPELINE else f"the model {plain(incident.model)}"
    return (
        f"Events of {who} are not waited for any more",
        f"The last ones were of {moment(incident.since)}. Who was in none of the last {REMEMBERED} micro-batches is "
        "taken for gone (retired, renamed or moved), and nothing rings for it again before it has come back. If it is "
        "not meant to be gone, look after it.",
    )


def forgotten(incident: Incident) -> tuple[str, str]:
    """Title and message of the end of an incident whose rule the policy has no more."""
    return (
        f"The rule {incident.rule.name} is not in the policy any more",
        f"It began {moment(incident.since)}; nobody looks after it now. There is nothing to do.",
    )


def held_back(by: Incident) -> str:
    """What the message of an incident says that begins while the pipeline is sick."""
    return (
        f"It is recorded and not sent, and retrains nothing, since the pipeline is sick: see incident "
        f"{by.incident_id} of the rule {by.rule.name}. If it is still there once that is over, another one opens."
    )


def spoilt(incident: Incident, fault: Incident) -> tuple[str, str]:
    """Title and message of an incident whose evidence is from while the pipeline was sick."""
    return (
        f"Drift in {plain(incident.model)} {plain(incident.version)} retracted: the pipeline was sick",
        f"What rang ({listed(incident.columns)}) rests on micro-batches {incident.first_batch_id} to "
        f"{incident.last_batch_id}, and incident {fault.incident_id} of the rule {fault.rule.name} may have spoilt "
        f"those from {fault.first_batch_id} on. That is over; drift that is real opens another incident.",
    )
