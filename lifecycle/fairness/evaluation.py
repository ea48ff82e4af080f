"""A version by group, beside the champion if there is one: what is reported, and what the gate says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pegel.conf.fairness_settings import FairnessSettings
from pegel.lifecycle.fairness.gate import Verdict, judge
from pegel.lifecycle.fairness.group_metrics import MetricByGroup, measure
from pegel.lifecycle.fairness.groups import found_attributes, group_rows
from pegel.lifecycle.training_rows import LabelledRow
from pegel.schemas.model_io import Answer

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True)
class FairnessEvaluation:
    """What was found.

    Attributes:
        models: champion, if there is one, and challenger -> their metrics; empty where no row has a segment and none
            is configured.
        verdict: of the gate, which judges the configured attributes alone.
        facts: what it was found on, for the record.
        at: the event time of the newest row.
    """

    models: dict[str, tuple[MetricByGroup, ...]]
    verdict: Verdict
    facts: dict[str, Any]
    at: datetime


def evaluate(
    rows: Sequence[LabelledRow],
    champion: Sequence[Answer] | None,
    challenger: Sequence[Answer],
    settings: FairnessSettings,
) -> FairnessEvaluation:
    """Measure the models by the segments of the rows, and judge by the configured ones.

    Args:
        rows: at least one, in order of event time; those that quality is compared on too.
        champion: its answers to these rows, in order; a failure is a wrong answer. None for a first version.
        challenger: its answers, in order.
        settings: without ``attributes`` those that most rows have are reported, and nothing is refused.
    """
    attributes = settings.attributes or found_attributes([row.segments for row in rows])
    columns = {name: [row.segments.get(name) for row in rows] for name in attributes}
    groupings = group_rows(columns, settings.max_groups)
    labels = [row.label for row in rows]
    answers = {CHALLENGER: challenger} if champion is None else {CHAMPION: champion, CHALLENGER: challenger}
    outputs = {name: [answer.output for answer in said] for name, said in answers.items()}
    models = {
        name: measure(
            labels,
            said,
            groupings,
            positive_labels=settings.positive_labels,
            min_group_rows=settings.min_group_rows,
        )
        for name, said in outputs.items()
        if groupings
    }
    judged = groupings if settings.attributes else ()
    verdict = judge(labels, outputs[CHALLENGER], outputs.get(CHAMPION), judged, settings)
    facts = {
        "rows": len(rows),
        "settings": settings.model_dump(mode="json"),
        "verdict": {"refused": verdict.refused, "detail": verdict.detail, "comparisons": verdict.comparisons},
    }
    return FairnessEvaluation(models, verdict, facts, rows[-1].event_time)
