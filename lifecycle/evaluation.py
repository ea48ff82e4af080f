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
class Judged:
    """The validation rows that both models are judged by, and the answers of each to them, in order.

    Attributes:
        unseen: whether none of these rows' texts is in a training set.
    """

    rows: tuple[LabelledRow, ...]
    champion: tuple[Answer, ...]
    challenger: tuple[Answer, ...]
    unseen: bool


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


def choose_judged(
    validation: Sequence[LabelledRow],
    champion: Sequence[Answer],
    challenger: Sequence[Answer],
    trained_on: Collection[str],
) -> Judged:
    """Choose the validation rows whose text nobody was trained on, or all where these are too few.

    Args:
        validation: at least one row.
        champion: its answers to these rows, in order.
        challenger: its answers, in order.
        trained_on: every text of either training set.
    """
    unseen = [i for i, row in enumerate(validation) if row.text not in trained_on]
    enough = len(unseen) >= MIN_UNSEEN_ROWS
    chosen = unseen if enough else range(len(validation))
    then, now = (tuple(answers[i] for i in chosen) for answers in (champion, challenger))
    return Judged(tuple(validation[i] for i in chosen), then, now, enough)


def compare(judged: Judged, quality_margin: float) -> Comparison:
    """Compare accuracies on the rows that both are judged by.

    Args:
        judged: from :func:`choose_judged`.
        quality_margin: by how much the challenger may be worse, 0 to 1.
    """
    n = len(judged.rows)
    champion, challenger = (
        sum(answer.output == row.label for answer, row in zip(answers, judged.rows, strict=True)) / n
        for answers in (judged.champion, judged.challenger)
    )
    return Comparison(champion, challenger, n, judged.unseen, challenger >= champion - quality_margin)
