"""Split in time, then compare challenger and champion where neither can have learned the answer by heart. Pure."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from pegel.lifecycle.training_rows import LabelledRow
from pegel.schemas.model_io import Answer

MIN_UNSEEN_ROWS = 30
"""With fewer rows of unseen text the comparison takes all validation rows, and says so. Convention, not derived."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to train on, and newer rows to judge by; both in order of event time."""

    training: tuple[LabelledRow, ...]
    validation: tuple[LabelledRow, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger against champion on the same rows.

    Attributes:
        champion: its accuracy, 0 to 1.
        challenger: its accuracy, 0 to 1.
        n: rows behind both.
        unseen: whether none of these rows' texts is in a training set.
        passed: whether the challenger is no worse than the champion by more than the margin.
    """

    champion: float
    challenger: float
    n: int
    unseen: bool
    passed: bool

    @property
    def detail(self) -> str:
        """The comparison in words."""
        kind = "of texts that neither was trained on" if self.unseen else (
            f"all of them, since fewer than {MIN_UNSEEN_ROWS} have a text that neither was trained on"
        )  # fmt: skip
        return (
            f"on {self.n} validation rows ({kind}) the challenger is right in {self.challenger:.1%}, "
            f"the champion in {self.champion:.1%}"
        )


def split_in_time(rows: Sequence[LabelledRow], since: datetime, holdout_share: float) -> Split:
    """Hold out the newest share of the rows after the onset; all older rows are for training.

    A random split would let the challenger learn from rows that are newer than those it is judged by.

    Args:
        rows: in order of event time.
        since: the onset; rows at it count as after it.
        holdout_share: above 0, below 1.

    Example:
        >>> from datetime import UTC, timedelta
        >>> begin = datetime(2026, 11, 25, tzinfo=UTC)
        >>> made = [LabelledRow(str(i), begin + timedelta(seconds=i), "1", "t", "o", "l") for i in range(12)]
        >>> split = split_in_time(made, begin + timedelta(seconds=2), 0.3)
        >>> len(split.training), [row.event_id for row in split.validation]
        (9, ['9', '10', '11'])
    """
    after = sum(row.event_time >= since for row in rows)
    held = min(math.ceil(after * holdout_share), after)
    return Split(tuple(rows[: len(rows) - held]), tuple(rows[len(rows) - held :]))


def judged_rows(validation: Sequence[LabelledRow], trained_on: Collection[str]) -> tuple[list[int], bool]:
    """The indices of the validation rows that models are judged by, and whether nobody was trained on their texts.

    Args:
        validation: at least one row.
        trained_on: every text of either training set.
    """
    unseen = [i for i, row in enumerate(validation) if row.text not in trained_on]
    return (unseen, True) if len(unseen) >= MIN_UNSEEN_ROWS else (list(range(len(validation))), False)


def compare(
    validation: Sequence[LabelledRow],
    champion: Sequence[Answer],
    challenger: Sequence[Answer],
    trained_on: Collection[str],
    quality_margin: float,
) -> Comparison:
    """Compare accuracies on the validation rows whose text nobody was trained on.

    Args:
        validation: at least one row.
        champion: its answers to these rows, in order.
        challenger: its answers, in order.
        trained_on: every text of either training set.
        quality_margin: by how much the challenger may be worse, 0 to 1.
    """
    chosen, unseen = judged_rows(validation, trained_on)
    right = [
        sum(answers[i].output == validation[i].label for i in chosen) / len(chosen)
        for answers in (champion, challenger)
    ]
    return Comparison(right[0], right[1], len(chosen), unseen, right[1] >= right[0] - quality_margin)
