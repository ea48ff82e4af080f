"""The states of an incident and of a retraining, and the steps between them; the code checks itself against it. Pure.

``docs/state-machines.md`` is drawn from it.
"""

from dataclasses import dataclass
from enum import StrEnum

from pegel.errors import ContractError
from pegel.schemas.policy import AlertState


class RetrainingState(StrEnum):
    """The states of a retraining, in order; the last four end it."""

    STARTED = "started"
    TRAINED = "trained"
    PROMOTED = "promoted"
    PROVING = "proving"
    PROVEN = "proven"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step that a machine may take.

    Attributes:
        before: the state that it leaves; None is the beginning.
        after: the state that it leads to.
        when: what makes it, in a few words.
    """

    before: str | None
    after: str
    when: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The states that something may have, and its steps.

    Attributes:
        name: of what.
        steps: all that are legal.
    """

    name: str
    steps: tuple[Step, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order of the steps."""
        return tuple(dict.fromkeys(step.after for step in self.steps))

    @property
    def ends(self) -> frozenset[str]:
        """The states that no step leaves.

        Example:
            >>> sorted(str(state) for state in INCIDENT.ends)
            ['resolved', 'retracted']
        """
        return frozenset(self.states) - {step.before for step in self.steps}

    def after(self, before: str | None) -> frozenset[str]:
        """The states that may follow on one; None asks for those that may be the first."""
        return frozenset(step.after for step in self.steps if step.before == before)

    def check(self, before: str | None, after: str) -> None:
        """See that a step is legal.

        Raises:
            ContractError: if it is not; whoever asked for it is wrong.

        Example:
            >>> INCIDENT.check("opened", "confirmed")
        """
        if after not in self.after(before):
            legal = ", ".join(sorted(self.after(before))) or "nothing"
            msg = (
                f"the state {after!r} of {self.name} may not follow on {before!r}, only {legal}; whoever wrote the "
                "rows, or the code that asked for this, is wrong"
            )
            raise ContractError(msg)


INCIDENT = Machine(
    "an incident",
    (
        Step(None, AlertState.OPENED, "a block rings, or counts do not add up"),
        Step(AlertState.OPENED, AlertState.CONFIRMED, "its final windows ring too"),
        Step(AlertState.OPENED, AlertState.RETRACTED, "its final windows do not ring"),
        Step(AlertState.CONFIRMED, AlertState.RESOLVED, "enough quiet blocks, and proven if it asked for a retraining"),
    ),
)

_S = RetrainingState
RETRAINING = Machine(
    "a retraining",
    (
        Step(None, _S.STARTED, "the job runs"),
        Step(_S.STARTED, _S.TRAINED, "a version is registered"),
        Step(_S.TRAINED, _S.PROMOTED, "no worse than the champion, which it replaces"),
        Step(_S.TRAINED, _S.REJECTED, "worse, or it wrongs a group"),
        Step(_S.PROMOTED, _S.PROVING, "what it has to reach is known"),
        Step(_S.PROVING, _S.PROVEN, "quiet and right enough after the promotion"),
        Step(_S.PROVING, _S.ROLLED_BACK, "not proven in time, so the old champion serves again"),
        Step(None, _S.FAILED, "there is no champion"),
        Step(_S.STARTED, _S.FAILED, "no labels in time, or named rows have changed"),
        Step(_S.TRAINED, _S.FAILED, "it does not load, or somebody else moved the champion"),
        Step(_S.PROMOTED, _S.FAILED, "its tables contradict each other"),
        Step(_S.PROVING, _S.FAILED, "somebody else moved the champion"),
    ),
)

_HEAD = """# The states of incidents and retrainings

Made by `make docs` from `schemas/state_machines.py`, which the code checks each step against before it writes a row.
"""

_TEXTS = (
    (
        INCIDENT,
        "Each step is a row of `alerts`, with `sequence` 1, 2, …. A model and a rule have one incident at a time that "
        "is neither retracted nor resolved.",
    ),
    (
        RETRAINING,
        "Each step is a row of `retrainings`. One that was ended by a crash goes on behind its last state. An attempt "
        "that ends in another state than `proven` leaves the incident open; the next one is a person's decision and "
        "begins anew.",
    ),
)


def drawing(machine: Machine) -> str:
    """A machine as a state diagram of Mermaid.

    Example:
        >>> print(drawing(Machine("a lamp", (Step(None, "on", "pressed"), Step("on", "off", "pressed again")))))
        stateDiagram-v2
            [*] --> on: pressed
            on --> off: pressed again
            off --> [*]
    """
    arrows = [f"{step.before or '[*]'} --> {step.after}: {step.when}" for step in machine.steps]
    arrows += [f"{state} --> [*]" for state in machine.states if state in machine.ends]
    return "\n".join(["stateDiagram-v2", *(f"    {arrow}" for arrow in arrows)])


def state_machines_page() -> str:
    """Both machines as a page of Markdown."""
    parts = [
        f"\n## {machine.name.partition(' ')[2].capitalize()}\n\n{text}\n\n```mermaid\n{drawing(machine)}\n```\n"
        for machine, text in _TEXTS
    ]
    return _HEAD + "".join(parts)
