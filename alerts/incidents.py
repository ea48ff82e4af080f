"""From verdicts to incidents: what opens, confirms, retracts and resolves them, and the rows of ``alerts``. Pure.

For each model and rule there is at most one unresolved incident; what rings meanwhile joins it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pegel import __version__
from pegel.alerts import message, pipeline_message
from pegel.alerts.conclusion import NOT_DIAGNOSED, conclude
from pegel.alerts.incident import (
    PROVEN,
    Incident,
    Judgement,
    Row,
    alert_key,
    incident_from_rows,
    incident_key,
    loudness,
    rings,
    rings_in,
    verdict_from_block,
    verdict_from_window,
    version_order,
)
from pegel.alerts.pipeline_incidents import PipelineIncidents, holding_back, is_of_pipeline, spoilt_by
from pegel.schemas.diagnosis import Symptoms
from pegel.schemas.health import BatchHealth
from pegel.schemas.partials import ALL
from pegel.schemas.policy import BESIDE_KINDS, PIPELINE_KINDS, Action, AlertState, Policy, Rule, RuleKind
from pegel.schemas.state_machines import INCIDENT
from pegel.schemas.verdicts import BatchFacts, BlockVerdict, Evidence, RateVerdict, Verdict, WindowVerdict

Judged = Mapping[str, tuple[Verdict, ...] | None]
"""Incident -> the verdicts on its final windows; None, or not there, while they are not final."""

SymptomsOf = Callable[[Evidence], Symptoms | None]
"""What speaks for one cause or another of an incident; None if there is nothing to compare with."""


class Incidents:
    """The unresolved incidents of one stream.

    The same verdicts in the same micro-batches give the same rows, whatever restarts lie between: see :meth:`restore`.

    Args:
        policy: what rings.
        code_version: goes into the lineage of each alert.
        settings_hash: likewise; of the settings that decide beside the policy.
    """

    def __init__(self, policy: Policy, code_version: str = __version__, settings_hash: str | None = None) -> None:
        self._policy = policy
        self._code_version = code_version
        self._settings_hash = settings_hash
        self._unresolved: dict[tuple[str, str], Incident] = {}
        self._pipeline = PipelineIncidents()

    @property
    def unresolved(self) -> tuple[Incident, ...]:
        """The incidents that are open, in the order of model and rule. While there is none, no retraining matters."""
        return tuple(self._unresolved[key] for key in sorted(self._unresolved))

    def unconfirmed(self) -> list[Evidence]:
        """What the watch has to judge again once the windows are final."""
        return [i.evidence for i in self.unresolved if i.state is AlertState.OPENED]

    def advance(
        self,
        verdicts: Sequence[Judgement],
        judged: Judged,
        retrainings: Mapping[str, str],
        facts: BatchFacts,
        symptoms_of: SymptomsOf = lambda _evidence: None,
    ) -> list[Row]:
        """Decide one micro-batch.

        Args:
            verdicts: the blocks that closed in it, and the windows whose accuracy was judged in it, those of a key in
                the order of event time.
            judged: for unconfirmed incidents, the verdicts on their final windows.
            retrainings: incident -> the latest state of its retraining.
            facts: the micro-batch itself.
            symptoms_of: asked what speaks for the cause of an incident that is confirmed now.

        Returns:
            the rows for ``alerts``, in the order in which things happened.
        """
        # What the end of a fault of the pipeline retracts is not opened again by blocks of the same micro-batch.
        joined = set(self._unresolved)
        rows = self._advance_pipeline(facts)
        retracted = joined - set(self._unresolved)
        for incident in self.unresolved:
            rows += self._settle(incident, judged.get(incident.incident_id), facts, symptoms_of)
        # What rings in the micro-batch that ends an incident has joined it: it does not open the next one.
        joined = retracted | set(self._unresolved)
        for incident in self.unresolved:
            if not is_of_pipeline(incident):
                incident.hear_blocks(_about(incident.rule, verdicts))
                rows += self._end(incident, retrainings.get(incident.incident_id), facts)
        for rule in self._policy.rules:
            if rule.kind not in PIPELINE_KINDS | BESIDE_KINDS:
                heard = [one for one in _about(rule, verdicts) if (one.model, rule.name) not in joined]
                rows += self._open(rule, heard, facts)
        return rows

    def restore(
        self,
        alert_rows: Iterable[Mapping[str, Any]],
        block_rows: Iterable[Mapping[str, Any]],
        conserved: Mapping[int, bool] | None = None,
        past: Iterable[BatchHealth] = (),
        window_rows: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Replace the state by what the tables say before a micro-batch.

        Call it at the start with rows whose ``batch_id`` is lower than the first micro-batch, and, if that one may have
        been written already by a process that died, once more before the second: a replayed batch that reads newer
        ``retrainings`` may decide otherwise than the rows that stand in the table, and the table is right.

        Args:
            alert_rows: rows of ``alerts``; those of resolved and retracted incidents may be left out.
            block_rows: rows of ``blocks`` of the models with an unresolved incident, from its first row on.
            conserved: micro-batch -> whether it was conserved, from the first row of an open pipeline incident on.
            past: the last micro-batches, see :data:`pegel.schemas.health.REMEMBERED`.
            window_rows: rows of ``metrics`` about judged windows, from the first row of an open incident on.
        """
        self._pipeline.restore(past)
        by_incident: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in alert_rows:
            by_incident[row["incident_id"]].append(row)
        by_batch: dict[int, list[BlockVerdict]] = defaultdict(list)
        for row in block_rows:
            by_batch[row["batch_id"]].append(verdict_from_block(row))
        windows: dict[int, list[WindowVerdict]] = defaultdict(list)
        for row in window_rows:
            windows[row["batch_id"]].append(verdict_from_window(row))
        known = {rule.name: rule for rule in self._policy.rules}
        self._unresolved = {}
        for rows in by_incident.values():
            incident = incident_from_rows(rows, known.get(rows[0]["rule"]))
            if incident.state in (AlertState.RETRACTED, AlertState.RESOLVED):
                continue
            self._unresolved[incident.model, incident.rule.name] = incident
            about_quality = incident.rule.kind is RuleKind.QUALITY
            _hear_again(incident, windows if about_quality else by_batch, conserved or {})

    def _settle(
        self, incident: Incident, judged: tuple[Verdict, ...] | None, facts: BatchFacts, symptoms_of: SymptomsOf
    ) -> list[Row]:
        if incident.state is not AlertState.OPENED or judged is None:
            return []
        # One that is held back ends with its fault, though the policy may let that rule call nobody any more.
        fault = holding_back(self.unresolved, incident.rule, incident.model)
        if incident.inhibited_by is not None or fault is not None:
            return []
        still = [v for v in rings(incident.rule, judged) if v.column in incident.columns]
        if not still:
            del self._unresolved[incident.model, incident.rule.name]
            return [self._row(incident, AlertState.RETRACTED, facts, message.retracted(incident))]
        loudest = still[0]
        incident.columns = tuple(verdict.column for verdict in still)
        incident.calibrated = loudest.calibrated
        found = conclude(incident.rule, partial(symptoms_of, incident.evidence), self._policy.diagnosis)
        action = found.action
        if action is Action.RETRAIN and not self._may_retrain(loudest):
            action = Action.PAGE
        incident.awaits_proof = action is Action.RETRAIN
        words = message.confirmed(incident, loudest, action, self._policy.resolve_after_blocks, found.words)
        row = self._row(incident, AlertState.CONFIRMED, facts, words, action=action, verdict=loudest)
        return [{**row, **found.columns}]

    def _end(self, incident: Incident, retraining: str | None, facts: BatchFacts) -> list[Row]:
        if not incident.may_end(self._policy.resolve_after_blocks, retraining):
            return []
        del self._unresolved[incident.model, incident.rule.name]
        words = message.resolved(incident, proven=retraining == PROVEN)
        return [self._row(incident, AlertState.RESOLVED, facts, words)]

    def _open(self, rule: Rule, verdicts: Sequence[Judgement], facts: BatchFacts) -> list[Row]:
        heard: dict[str, list[Judgement]] = defaultdict(list)
        keys = set()
        for verdict in verdicts:
            # Many windows of a key may be judged at once; its first ring is nearest to the onset.
            key = (verdict.model, verdict.version, verdict.segment)
            if key not in keys and rings_in(rule, verdict):
                keys.add(key)
                heard[verdict.model].append(verdict)
        rows = []
        for model in sorted(heard):
            if (model, rule.name) in self._unresolved:
                continue
            chosen = max(heard[model], key=lambda block: _weight(rule, block))
            loudest, *_ = found = rings_in(rule, chosen)
            incident = _incident_of(rule, chosen, found, facts.batch_id)
            fault = holding_back(self.unresolved, rule, model)
            self._unresolved[model, rule.name] = incident
            others = sorted({block.segment for block in heard[model]} - {chosen.segment, ALL})
            may_retrain = rule.action is Action.RETRAIN and self._may_retrain(loudest)
            action, held_back = rule.action, ""
            if fault is not None:
                incident.inhibited_by, action = fault.incident_id, Action.NONE
                held_back = pipeline_message.held_back(fault)
            words = message.opened(incident, loudest, others, may_retrain=may_retrain, held_back=held_back)
            rows.append(self._row(incident, AlertState.OPENED, facts, words, action=action, verdict=loudest))
        return rows

    def _advance_pipeline(self, facts: BatchFacts) -> list[Row]:
        """End and open what is about the pipeline itself; first, since the rest depends on it."""
        self._pipeline.take(facts)
        rows = []
        known = {rule.name for rule in self._policy.rules}
        for incident in filter(is_of_pipeline, self.unresolved):
            words = self._pipeline.ended(incident, facts, self._policy.resolve_after_blocks)
            if incident.rule.name not in known:
                words = pipeline_message.forgotten(incident)
            if words is not None:
                del self._unresolved[incident.model, incident.rule.name]
                rows += [self._row(incident, AlertState.RESOLVED, facts, words), *self._retract_spoilt(incident, facts)]
        for rule in self._policy.rules:
            if rule.kind not in PIPELINE_KINDS:
                continue
            for incident, words in self._pipeline.begun(rule, facts):
                if (incident.model, rule.name) not in self._unresolved:
                    self._unresolved[incident.model, rule.name] = incident
                    # Counts of a micro-batch never change, so that nothing later could confirm or retract them.
                    for state in (AlertState.OPENED, AlertState.CONFIRMED):
                        rows.append(self._row(incident, state, facts, words, action=rule.action))
        return rows

    def _retract_spoilt(self, fault: Incident, facts: BatchFacts) -> list[Row]:
        rows = []
        for incident in self.unresolved:
            if spoilt_by(fault, incident):
                del self._unresolved[incident.model, incident.rule.name]
                words = pipeline_message.spoilt(incident, fault)
                rows.append(self._row(incident, AlertState.RETRACTED, facts, words))
        return rows

    def _may_retrain(self, verdict: Verdict) -> bool:
        return verdict.calibrated or self._policy.uncalibrated_may_retrain

    def _row(
        self,
        incident: Incident,
        state: AlertState,
        facts: BatchFacts,
        words: tuple[str, str],
        *,
        action: Action = Action.NONE,
        verdict: Verdict | None = None,
    ) -> Row:
        if state is not AlertState.OPENED:
            INCIDENT.check(incident.state, state)
            incident.sequence += 1
        incident.state = state
        return {
            "alert_id": alert_key(incident.incident_id, incident.sequence),
            "incident_id": incident.incident_id,
            "sequence": incident.sequence,
            "state": state.value,
            "batch_id": facts.batch_id,
            "rule": incident.rule.name,
            "model": incident.model,
            "version": incident.newest if state is AlertState.RESOLVED else incident.version,
            "segment": incident.segment,
            "column": incident.column,
            "columns": list(incident.columns),
            "severity": incident.rule.severity,
            "action": action.value,
            "value": verdict.statistic if verdict else None,
            "threshold": verdict.threshold if verdict else None,
            "effect": verdict.effect if verdict else None,
            "p_value": verdict.p_value if verdict else None,
            "n": verdict.n if verdict else None,
            "calibrated": incident.calibrated,
            "baseline_id": incident.baseline_id,
            "first_batch_id": incident.first_batch_id,
            # What final windows say rests on every partial up to now, late ones included.
            "last_batch_id": incident.last_batch_id if state is AlertState.OPENED else facts.batch_id,
            "since": incident.since,
            "window_end": incident.window_end,
            "windows": [{"start": start, "window_s": seconds} for start, seconds in incident.windows],
            "event_time": facts.event_time,
            "enqueued_time": facts.enqueued_time,
            "stored_time": facts.stored_time,
            "decided_time": facts.decided_time,
            "title": words[0],
            "message": words[1],
            "runbook": incident.rule.runbook,
            "policy_hash": self._policy.hash,
            "code_version": self._code_version,
            "inhibited_by": incident.inhibited_by,
            "settings_hash": self._settings_hash,
            **NOT_DIAGNOSED,
        }


def _about(rule: Rule, verdicts: Sequence[Judgement]) -> list[Judgement]:
    """What a rule hears: of quality it is told by windows, of all else by blocks."""
    heard = WindowVerdict if rule.kind is RuleKind.QUALITY else BlockVerdict
    return [one for one in verdicts if isinstance(one, heard)]


def _incident_of(rule: Rule, block: Judgement, found: Sequence[Verdict], batch_id: int) -> Incident:
    # A rate has an onset of its own; the columns of a block share that of the loudest.
    onset = next(one for one in (found[0], block) if isinstance(one, RateVerdict | BlockVerdict))
    pooled = onset.pooled_first_batch_id
    return Incident(
        incident_id=incident_key(block.model, rule.name, batch_id),
        model=block.model,
        rule=rule,
        version=block.version,
        segment=block.segment,
        columns=tuple(verdict.column for verdict in found),
        calibrated=found[0].calibrated,
        baseline_id=block.baseline_id,
        first_batch_id=pooled if pooled >= 0 else block.first_batch_id,
        last_batch_id=block.last_batch_id,
        since=onset.since,
        windows=onset.windows,
        opened_in=batch_id,
        newest=block.version,
    )


def _weight(rule: Rule, block: Judgement) -> tuple[tuple[int, int, str], bool, float, str]:
    """Which block an incident is told by: of the newest version, of all traffic if that rang, else the loudest."""
    loudest = rings_in(rule, block)[0]
    return version_order(block.version), block.segment == ALL, loudness(loudest), block.segment


def _hear_again(incident: Incident, blocks: Mapping[int, Sequence[Judgement]], conserved: Mapping[int, bool]) -> None:
    if is_of_pipeline(incident):
        for batch_id in sorted(batch_id for batch_id in conserved if batch_id > incident.opened_in):
            incident.hear_counts(conserved[batch_id])
        return
    for batch_id in sorted(batch_id for batch_id in blocks if batch_id > incident.opened_in):
        incident.hear_blocks(blocks[batch_id])
