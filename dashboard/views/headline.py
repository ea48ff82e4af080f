"""The answer in ten seconds: is it broken, is it the model or the pipeline, since when, what do I do. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pegel.dashboard.views.health import ModelHealth
from pegel.dashboard.views.incidents import PIPELINE as EVERYTHING
from pegel.dashboard.views.incidents import Incident
from pegel.dashboard.views.pipeline import Check, Pipeline
from pegel.dashboard.views.words import Level

PIPELINE, MODEL, NOTHING = "pipeline", "model", "nothing"


@dataclass(frozen=True, slots=True)
class Headline:
    """One verdict, the worst there is.

    Attributes:
        broken: the answer to "is it broken?", in words.
        where: pipeline, model or nothing.
        title: what is the case.
        explain: why, in one sentence.
        since: since when; None where it is not known.
        todo: what a person does now.
        happens: what happens by itself, or ''.
        also: other things that are open, in a few words each.
    """

    level: Level
    broken: str
    where: str
    title: str
    explain: str
    since: datetime | None
    todo: str
    happens: str = ""
    runbook: str = ""
    also: tuple[str, ...] = ()


def headline(
    models: Sequence[ModelHealth],
    incidents: Sequence[Incident],
    pipeline: Pipeline,
    problem: str,
    read_at: datetime | None,
) -> Headline:
    """A fault of the pipeline comes first, since while it lasts no number about a model can be trusted."""
    opened = [i for i in incidents if i.open]
    checks = sorted((c for c in pipeline.checks if c.level is not Level.OK), key=lambda c: c.level.rank)
    if problem:
        return Headline(
            level=Level.BROKEN,
            broken="Yes.",
            where=PIPELINE,
            title="The tables cannot be read",
            explain=problem,
            since=read_at,
            todo="Check the storage and the rights on it. What is shown below is from the last time it worked.",
        )
    if pipeline.last_commit is None and not models:
        return Headline(
            level=Level.UNKNOWN,
            broken="Not known yet.",
            where=NOTHING,
            title="Nothing has been measured yet",
            explain="There is no batch in the tables.",
            since=None,
            todo="Start the stream with `pegel stream --config FILE` and send events; `make demo` shows all of it.",
        )
    if opened and not (checks and checks[0].level is Level.BROKEN):
        return _model(opened, checks)
    return _pipeline(checks, opened) if checks else _quiet(models, incidents)


def _pipeline(checks: Sequence[Check], opened: Sequence[Incident]) -> Headline:
    worst = checks[0]
    broken = worst.level is Level.BROKEN
    return Headline(
        level=worst.level,
        broken="Yes." if broken else "Not yet.",
        where=PIPELINE,
        title="The pipeline is broken" if broken else "The pipeline needs a look",
        explain=worst.says,
        since=worst.at,
        todo=worst.todo,
        runbook=worst.runbook,
        also=(*(c.says for c in checks[1:]), *_titles(opened)),
    )


def _model(opened: Sequence[Incident], checks: Sequence[Check]) -> Headline:
    worst = opened[0]
    sure = "Yes, and it is being mended." if worst.mending else "Yes."
    return Headline(
        level=worst.level,
        broken=sure if worst.level is Level.BROKEN else "Not sure yet.",
        where=PIPELINE if worst.model == EVERYTHING else MODEL,
        title=worst.title,
        explain=worst.message,
        since=worst.since,
        todo=worst.todo,
        happens=worst.happens,
        runbook=worst.runbook,
        also=(*_titles(opened[1:]), *(c.says for c in checks)),
    )


def _quiet(models: Sequence[ModelHealth], incidents: Sequence[Incident]) -> Headline:
    odd = sorted((m for m in models if m.level is not Level.OK), key=lambda m: m.level.rank)
    if odd:
        return Headline(
            level=Level.WATCH,
            broken="Not that Pegel can see.",
            where=MODEL,
            title=f"{odd[0].model} {odd[0].says}",
            explain="No incident is open.",
            since=odd[0].newest,
            todo="See whether that is meant. A version gets its baseline from `pegel build-baseline`.",
            also=tuple(f"{m.model} {m.says}" for m in odd[1:]),
        )
    return Headline(
        level=Level.OK,
        broken="No.",
        where=NOTHING,
        title="All quiet",
        explain="No incident is open and the counts add up.",
        since=max((i.changed_at for i in incidents), default=None),
        todo="Nothing. Sleep well.",
    )


def _titles(incidents: Sequence[Incident]) -> list[str]:
    return [f"{i.state}: {i.title}" for i in incidents]
