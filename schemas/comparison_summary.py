"""A comparison for people: one line for each chunk and column, and one sentence for all. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pegel.schemas.comparison import ComparedNumber, ComparisonVerdict

_ORDER = (ComparisonVerdict.DRIFTED, ComparisonVerdict.STABLE, ComparisonVerdict.TOO_FEW)


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """What the numbers of one column and chunk say together.

    Attributes:
        verdict: drifted if one of them says so, else stable if one of them could be tested.
        effect: the largest, None if there is none.
        p_value: the smallest, None if there is none.
        numbers: at least one.
    """

    verdict: ComparisonVerdict
    effect: float | None
    p_value: float | None
    numbers: tuple[ComparedNumber, ...]

    @property
    def n(self) -> int:
        """Rows of the chunk, as far as the metrics look at them."""
        return max(number.n for number in self.numbers)


def summaries(numbers: Sequence[ComparedNumber]) -> list[ColumnSummary]:
    """One for each chunk and column, in the order of the numbers, which lie together by both."""
    found = []
    for _, group in groupby(numbers, key=lambda number: (number.chunk, number.column)):
        rows = tuple(group)
        said = {row.verdict for row in rows}
        found.append(
            ColumnSummary(
                verdict=next(verdict for verdict in _ORDER if verdict in said),
                effect=max((row.effect for row in rows if row.effect is not None), default=None),
                p_value=min((row.p_value for row in rows if row.p_value is not None), default=None),
                numbers=rows,
            )
        )
    return found


def conclusion(numbers: Sequence[ComparedNumber]) -> str:
    """What follows, in a sentence or two."""
    found = summaries(numbers)
    columns = list(dict.fromkeys(number.column for number in numbers))
    drifted = [name for name in columns if any(s.verdict == "drifted" and s.numbers[0].column == name for s in found)]
    chunks = len({number.chunk for number in numbers})
    where = f" in at least one of {chunks} chunks" if chunks > 1 else ""
    names = ", ".join(printable(name) for name in drifted)
    text = f"{len(drifted)} of {len(columns)} columns drifted{where}{': ' + names if names else ''}."
    if any(summary.verdict is ComparisonVerdict.TOO_FEW for summary in found):
        text += " Some have too few rows to be judged."
    if not all(number.calibrated for number in numbers if number.p_value is not None):
        text += " Not calibrated: the baseline does not show how much chunks of this size differ from each other."
    return text


def printable(name: str) -> str:
    r"""A name from outside without what would command a terminal; what is not printable is written as its code.

    Example:
        >>> printable("a" + chr(27) + "[2J")
        'a\\x1b[2J'
    """
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
