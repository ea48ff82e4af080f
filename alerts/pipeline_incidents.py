"""Incidents about the pipeline itself: what opens and ends them, and whose other incidents they hold back. Pure."""

from collections.abc import Iterable

from pegel.alerts import message, pipeline_message
from pegel.alerts.incident import PIPELINE, Incident, incident_key
from pegel.alerts.pipeline_health import PipelineHealth
from pegel.schemas.health import BatchHealth, Fault
from pegel.schemas.partials import ALL
from pegel.schemas.policy import INHIBITED_KINDS, PIPELINE_KINDS, Action, AlertState, Rule, RuleKind
from pegel.schemas.verdicts import BatchFacts

Words = tuple[str, str]


class PipelineIncidents:
    """Decides which incidents about the pipeline open and end; whoever asks keeps them."""

    def __init__(self) -> None:
        self._health = PipelineHealth()

    def restore(self, past: Iterable[BatchHealth]) -> None:
        """Begin with the micro-batches that the tables remember."""
        self._health.restore(past)

    def take(self, facts: BatchFacts) -> None:
        """Take in the next micro-batch; call it once for each, before anything is asked about it."""
        if facts.health is not None:
            self._health.take(facts.health)

    def begun(self, rule: Rule, facts: BatchFacts) -> list[tuple[Incident, Words]]:
        """What a rule finds wrong after this micro-batch, whether it is known already or not."""
        if rule.kind is RuleKind.CONSERVATION:
            if facts.conserved:
                return []
            lost = Fault(PIPELINE, (), facts.event_time, facts.batch_id, 0.0, 0.0)
            return [(_incident(rule, lost, facts.batch_id), message.unconserved(facts.batch_id))]
        return [
            (_incident(rule, fault, facts.batch_id), pipeline_message.began(rule, fault))
            for fault in self._health.faults(rule)
        ]

    def ended(self, incident: Incident, facts: BatchFacts, quiet_enough: int) -> Words | None:
        """The words of its end, if it is over.

        Args:
            incident: it hears of the micro-batch by this call.
            facts: the micro-batch.
            quiet_enough: so many micro-batches in a row have to add up after one that did not.
        """
        if incident.rule.kind is RuleKind.CONSERVATION:
            incident.hear_counts(facts.conserved)
            return message.conserved_again(incident) if incident.may_end(quiet_enough, None) else None
        who = incident.model, incident.columns
        if facts.health is None or not self._health.is_over(incident.rule, *who, incident.opened_in):
            return None
        is_silence = incident.rule.kind is RuleKind.NO_DATA
        return (
            pipeline_message.gone(incident)
            if is_silence and self._health.gone(*who)
            else pipeline_message.ended(incident)
        )


def is_of_pipeline(incident: Incident) -> bool:
    """Whether an incident is about the pipeline, or about what comes to it, and not about what a model does."""
    return incident.rule.kind in PIPELINE_KINDS


def holding_back(unresolved: Iterable[Incident], rule: Rule, model: str) -> Incident | None:
    """The oldest open incident of the pipeline because of which a rule's incident of this model is not trusted.

    A rule that calls nobody holds nothing back: nobody would hear of either.
    """
    if rule.kind not in INHIBITED_KINDS:
        return None
    found = [i for i in unresolved if _inhibits(i) and i.model in (PIPELINE, model)]
    return min(found, key=lambda i: (i.opened_in, i.incident_id), default=None)


def spoilt_by(fault: Incident, incident: Incident) -> bool:
    """Whether the evidence of an unconfirmed incident reaches into what a fault of the pipeline may have spoilt."""
    if incident.inhibited_by == fault.incident_id and incident.state is AlertState.OPENED:
        return True
    return (
        _inhibits(fault)
        and incident.state is AlertState.OPENED
        and incident.rule.kind in INHIBITED_KINDS
        and fault.model in (PIPELINE, incident.model)
        and incident.last_batch_id >= fault.first_batch_id
    )


def _inhibits(incident: Incident) -> bool:
    return is_of_pipeline(incident) and incident.rule.action is Action.PAGE


def _incident(rule: Rule, fault: Fault, batch_id: int) -> Incident:
    return Incident(
        incident_id=incident_key(fault.model, rule.name, batch_id),
        model=fault.model,
        rule=rule,
        version="",
        segment=ALL,
        columns=fault.sources,
        calibrated=True,  # counts and times are exact
        baseline_id=None,
        first_batch_id=fault.first_batch_id,
        last_batch_id=batch_id,
        since=fault.since,
        windows=(),
        opened_in=batch_id,
    )
