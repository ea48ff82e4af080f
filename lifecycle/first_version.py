"""Whether a version that no incident asked for may serve: its answers by group, and the record of it. Edge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from pegel.conf.fairness_settings import FairnessSettings
from pegel.errors import PegelError
from pegel.lifecycle.evaluation import choose_judged
from pegel.lifecycle.fairness.evaluation import FairnessEvaluation, evaluate
from pegel.lifecycle.labelled_text import LabelledText, texts_of
from pegel.lifecycle.promotion import FIRST, Promotion, promote
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.training_rows import LabelledRow
from pegel.schemas.model_io import Answer
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables

AUDIT_WRITER = "build_baseline"
PROMOTER = "build-baseline"


class FirstVersionRefusedError(PegelError):
    """A version was made and must not serve, since it wrongs a group by more than the settings allow."""


@dataclass(frozen=True, slots=True)
class FirstVersion:
    """A version and what is known of it when it is decided on.

    Attributes:
        version: of the registered model.
        fairness: how it treats groups, in words.
        evidence: what the decision rests on, for the audit trail.
    """

    version: str
    fairness: str
    evidence: dict[str, Any] = field(default_factory=dict)


def judge_first(
    trained_on: Sequence[LabelledText],
    validation: Sequence[LabelledText],
    answers: Sequence[Answer],
    settings: FairnessSettings,
    at: datetime,
) -> tuple[str, FairnessEvaluation | None]:
    """Measure and judge a version by the groups of its validation rows.

    Args:
        trained_on: its training rows; their texts are left out where 30 rows of other texts remain.
        validation: at least one row.
        answers: of the version, in order.
        settings: which groups, and the limits.
        at: the time of the numbers.

    Returns:
        what came of it in words, and the evaluation; None if there are no groups to judge by.
    """
    if not settings.attributes:
        return "fairness was not judged, since fairness.attributes names no groups", None
    if not any(row.segments for row in validation):
        wanted = ", ".join(settings.attributes)
        return f"fairness was not judged, since no validation row has a group by {wanted}", None
    rows = [LabelledRow(str(n), at, "", row.text, None, row.label, row.segments) for n, row in enumerate(validation)]
    judged = choose_judged(rows, answers, answers, set(texts_of(trained_on)))
    found = evaluate(judged.rows, None, judged.challenger, settings)
    return found.verdict.detail, found


def let_serve(
    registry: Registry,
    tables: DeltaTables,
    first: FirstVersion,
    *,
    trail: AuditTrail | None,
    now: Callable[[], datetime],
) -> None:
    """Make a version the champion; the decision is in the audit trail before the alias moves.

    Raises:
        ChampionMovedError: if somebody else moves the champion now, which is recorded too.
        OutsideError: if the record, the storage or the registry fails.
    """
    champion = registry.champion()
    _record(registry, first, trail, "promoted", champion=champion)
    try:
        promote(registry, tables, Promotion(champion, first.version, PROMOTER, FIRST), now=now())
    except PegelError as error:
        _record(registry, first, trail, "failed", champion=champion, why=str(error))
        raise


def refuse(registry: Registry, first: FirstVersion, trail: AuditTrail | None) -> NoReturn:
    """Record that a version may not serve, and say so.

    Raises:
        FirstVersionRefusedError: always.
        OutsideError: if it cannot be recorded.
    """
    _record(registry, first, trail, "rejected", champion=registry.champion())
    msg = (
        f"version {first.version} of {registry.model!r} is registered and must not serve: {first.fairness}; give it "
        "more rows of the group that is wronged, or say other limits under fairness"
    )
    raise FirstVersionRefusedError(msg)


def _record(
    registry: Registry,
    first: FirstVersion,
    trail: AuditTrail | None,
    decision: str,
    *,
    champion: str | None,
    why: str = "",
) -> None:
    if trail is not None:
        known = {} if champion is None else {"champion": champion}
        trail.record(
            actor=PROMOTER,
            action="registration.decide",
            subject=f"model {registry.model}",
            decision=decision,
            reason="; ".join(filter(None, (why, first.fairness))),
            evidence={**known, "challenger": first.version, **first.evidence},
        )
