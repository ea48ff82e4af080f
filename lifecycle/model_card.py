"""A model card: what a version is, what it was made of, how it did, and what it must not be used for. Pure.

The sections follow Mitchell et al., Model Cards for Model Reporting (2019), with what has been watched since. Every
text that comes from outside goes through :func:`~pegel.lifecycle.markdown.escape`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pegel.lifecycle.markdown import escape, table
from pegel.schemas.usage_policy import UsagePolicy

MAX_LISTED = 40
"""Rows of one table; the number of what is left out is said."""


def card_file(version: str) -> str:
    """The name of a version's card in its run, which other versions may share.

    Example:
        >>> card_file("7")
        'model_card_7.md'
    """
    return f"model_card_{version}.md"


@dataclass(frozen=True, slots=True)
class Step:
    """A state that the retraining of this version has reached, as ``retrainings`` says it."""

    state: str
    at: datetime
    champion: str | None
    champion_quality: float | None
    challenger_quality: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A version whose rows are among those of a later one: a retraining keeps the rows of the champion it replaces."""

    version: str
    made_for: str
    rows: str


@dataclass(frozen=True, slots=True)
class Move:
    """When this version became the champion, or ceased to be."""

    at: datetime
    became: bool
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What was seen of the version so far.

    Attributes:
        windows: final base windows with an accuracy whose labels are complete enough.
        accuracy: over their labelled events, 0 to 1; None if there are none.
        blocks: closed blocks of all its traffic.
        events: events in them.
        ringing: how many blocks rang, by column.
        calibrated: whether any verdict keeps the budget of false alarms.
        alerts: how many transitions of its incidents there were, by state.
        first: of its blocks, when the first one ended; None if there are none.
        last: when the last one ended.
    """

    windows: int = 0
    accuracy: float | None = None
    blocks: int = 0
    events: int = 0
    ringing: Mapping[str, int] = field(default_factory=dict)
    calibrated: bool = False
    alerts: Mapping[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Everything that a card says.

    Attributes:
        at: when these facts were gathered.
        aliases: of the version in the registry.
        tags: of the version, those of Pegel left out that are said elsewhere.
        params: of the run that made it.
        training: which rows it was made from: the tag ``pegel.training``.
        baseline: what its baseline is of, in words; None if it has none.
        retraining: the incident and attempt that made it; '' if none did.
        ancestors: whose rows are among its own, the youngest first.
        moves: of the champion, to or from this version, in order.
        steps: of that retraining, in order.
        fairness: key below ``fairness/`` -> number, from its run.
        usage: what the usage policy says to people.
        monitoring: what was seen so far.
    """

    model: str
    version: str
    at: datetime
    created_at: datetime
    run_id: str
    code_version: str
    validation: str
    aliases: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)
    baseline: str | None = None
    retraining: str = ""
    ancestors: Sequence[Ancestor] = ()
    moves: Sequence[Move] = ()
    steps: Sequence[Step] = ()
    fairness: Mapping[str, float] = field(default_factory=dict)
    usage: UsagePolicy = field(default_factory=UsagePolicy)
    monitoring: Monitoring = field(default_factory=Monitoring)


def render(facts: CardFacts) -> str:
    """The card as a page of Markdown; the same facts give the same page."""
    sections = (
        ("Details", _details(facts)),
        ("Intended use", _intended(facts.usage)),
        ("Forbidden uses", _forbidden(facts.usage)),
        ("Training data", _training(facts)),
        ("Evaluation", _evaluation(facts.steps)),
        ("Fairness", _fairness(facts.fairness)),
        ("Monitoring so far", _monitoring(facts.monitoring)),
        ("Limitations", _limitations(facts)),
    )
    head = f"# {escape(facts.model)}, version {escape(facts.version)}\n\nAs known on {_time(facts.at)}.\n"
    return head + "".join(f"\n## {name}\n\n{text}" for name, text in sections)


def _details(facts: CardFacts) -> str:
    rows: list[tuple[object, ...]] = [
        ("Model", facts.model),
        ("Version", facts.version),
        ("Registered", _time(facts.created_at)),
        ("Serves as", ", ".join(facts.aliases) or "not at all"),
        ("Validation", facts.validation or "none"),
        ("MLflow run", facts.run_id),
        ("Made for", f"retraining {facts.retraining}" if facts.retraining else "no incident"),
        ("Baseline", facts.baseline or "none: it cannot be watched for drift"),
        ("Pegel", facts.code_version),
    ]
    rows += [
        (
            "Became champion" if move.became else "Ceased to be champion",
            f"{_time(move.at)}, {move.reason}, by {move.by}",
        )
        for move in facts.moves
    ]
    rows += [(f"Tag {name}", value) for name, value in sorted(facts.tags.items())]
    return table(("What", "Is"), rows)


def _intended(usage: UsagePolicy) -> str:
    text = f"Disclosure with every answer: {escape(usage.disclosure)}\n" if usage.disclosure else ""
    rows: list[tuple[object, ...]] = [(name, risk.name.lower()) for name, risk in usage.purposes.items()]
    purposes = table(("Purpose", "Risk of a wrong answer"), rows)
    return "\n".join(part for part in (text, purposes) if part) or "The usage policy names no purpose.\n"


def _forbidden(usage: UsagePolicy) -> str:
    rows: list[tuple[object, ...]] = [(use.name, use.says) for use in usage.forbidden_uses]
    return table(("Use", "Rule"), rows) or "The usage policy forbids no use by name.\n"


def _training(facts: CardFacts) -> str:
    rows: list[tuple[object, ...]] = [(name, value) for name, value in sorted(facts.training.items())]
    rows += [(f"parameter {name}", value) for name, value in sorted(facts.params.items())]
    named = table(("What", "Value"), rows) or "Nothing was written down about the rows.\n"
    where = "The rows lie beside the model in its MLflow run, in the folder training.\n"
    again = (
        "Live rows are those of the tables predictions and feedback with a batch\\_id up to batch\\_id\\_max; number "
        "and checksum say whether they are still the same.\n"
    )
    older: list[tuple[object, ...]] = [(a.version, a.made_for, a.rows) for a in facts.ancestors]
    lineage = table(("Holds the rows of version", "Made for", "From"), older)
    live = facts.training.get("batch_id_max") is not None
    return f"{named}\n{where}{again if live else ''}" + (f"\n{lineage}" if lineage else "")


def _evaluation(steps: Sequence[Step]) -> str:
    rows: list[tuple[object, ...]] = [
        (step.state, _time(step.at), step.champion or "", _share(step.champion_quality),
         _share(step.challenger_quality), step.detail)
        for step in steps
    ]  # fmt: skip
    text = table(("State", "When", "Champion then", "Its quality", "Quality of this version", "Why"), rows)
    return text or "No retraining made this version, so it was compared with no champion.\n"


def _fairness(numbers: Mapping[str, float]) -> str:
    rows: list[tuple[object, ...]] = [(name, f"{value:.4g}") for name, value in sorted(numbers.items())]
    left = len(rows) - MAX_LISTED
    text = table(("Metric / attribute / group", "Value"), rows[:MAX_LISTED])
    more = f"{left} more numbers, and all" if left > 0 else "All"
    whole = f"\n{more} groups with their n and intervals are in fairness.json of the MLflow run.\n"
    return text + whole if text else "No fairness metrics were logged for this version.\n"


def _monitoring(seen: Monitoring) -> str:
    rows: list[tuple[object, ...]] = [
        ("Events in closed blocks", seen.events),
        ("Closed blocks", seen.blocks),
        ("From", _time(seen.first) if seen.first else "–"),
        ("To", _time(seen.last) if seen.last else "–"),
        ("Accuracy in final windows with labels", _share(seen.accuracy)),
        ("Such windows", seen.windows),
    ]
    rows += [(f"Blocks in which {column} rang", n) for column, n in sorted(seen.ringing.items())[:MAX_LISTED]]
    rows += [(f"Alerts {state}", n) for state, n in sorted(seen.alerts.items())]
    return table(("What", "Value"), rows)


def _limitations(facts: CardFacts) -> str:
    said = [
        "It answers from what it was made of; a question of another kind gets an answer all the same.",
        "Live texts are masked before they are stored, so it has learned from masked texts.",
    ]
    if not any(step.challenger_quality is not None for step in facts.steps):
        said.append("Its quality was not compared with that of another version.")
    if not facts.fairness:
        said.append("Whether it is worse for some groups was not measured.")
    if facts.monitoring.accuracy is None:
        said.append("No labels have come yet by which its live accuracy could be told.")
    if not facts.monitoring.calibrated:
        said.append("Its drift verdicts are uncalibrated: how often they are wrong by chance is not known yet.")
    if facts.baseline is None:
        said.append("It has no baseline, so drift cannot be seen.")
    return "".join(f"- {sentence}\n" for sentence in said)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
