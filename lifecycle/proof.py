"""Decision 10's proof: whether a promoted version keeps to its own baseline and is right as often as the old one was.

:func:`judge` is pure; :func:`read_windows` and :func:`read_blocks` are its edge.

The proof rests on the first ``proof_windows`` final windows of the new version that start after the promotion and have
labels for at least half of their events. It holds if

- of the version's arrival blocks up to the end of the last of them, at most ``proof_max_loud_share`` are loud: some
  column rang there with an effect of ``proof_min_effect`` or more. One loud block can be chance, and rings on while it
  is pooled with its neighbours; a version that drifts from its baseline is loud in nearly all. Where the stream lags, a
  single block may outlast all these windows; then that one counts;
- the accuracy over these windows is not below the old champion's before the onset by more than
  ``proof_quality_margin``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.conf.settings import RetrainSettings
from pegel.schemas.metric_names import ACCURACY
from pegel.schemas.partials import ALL
from pegel.tables.delta import DeltaTables

MIN_COMPLETENESS = 0.5

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A final base window of one version: how often it was right.

    Attributes:
        start: aware UTC.
        end: aware UTC.
        accuracy: 0 to 1.
        labelled: events whose label is known.
        completeness: labelled events over events, 0 to 1.
    """

    start: datetime
    end: datetime
    accuracy: float
    labelled: float
    completeness: float


@dataclass(frozen=True, slots=True)
class Block:
    """An arrival block: when it ended, and the largest effect of a column that rang in it (0 if none rang)."""

    last_enqueued: datetime
    effect: float


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict, with its reason in words."""

    proven: bool
    detail: str


def judge(
    windows: Sequence[Window], blocks: Sequence[Block], reference: float, settings: RetrainSettings
) -> Proof | None:
    """Judge a promoted version.

    Args:
        windows: its windows that start after the promotion, in any order.
        blocks: its blocks that ended after the promotion, in any order.
        reference: the accuracy it has to reach, 0 to 1.
        settings: the bounds.

    Returns:
        None while there are too few windows with enough labels, or no block.
    """
    complete = sorted((w for w in windows if w.completeness >= MIN_COMPLETENESS), key=lambda w: w.start)
    judged = complete[: settings.proof_windows]
    if len(judged) < settings.proof_windows or not blocks:
        return None
    end = max(window.end for window in judged)
    in_order = sorted(blocks, key=lambda block: block.last_enqueued)
    covered = [block for block in in_order if block.last_enqueued <= end] or in_order[:1]
    loud = sum(block.effect >= settings.proof_min_effect for block in covered)
    accuracy = mean_accuracy(judged) or 0.0
    quiet = loud <= settings.proof_max_loud_share * len(covered)
    good = accuracy >= reference - settings.proof_quality_margin
    return Proof(
        quiet and good,
        f"{loud} of {len(covered)} blocks rang with an effect of {settings.proof_min_effect} or more against its own "
        f"baseline (at most {settings.proof_max_loud_share:.0%} may); over {len(judged)} windows it was right in "
        f"{accuracy:.1%}, where {reference:.1%} less {settings.proof_quality_margin:.1%} had to be reached",
    )


def mean_accuracy(windows: Sequence[Window]) -> float | None:
    """Accuracy over the labelled events of windows whose labels are complete enough; None if there are none.

    Example:
        >>> at = datetime(2026, 11, 25, tzinfo=UTC)
        >>> mean_accuracy([Window(at, at, 1.0, 30, 0.9), Window(at, at, 0.0, 10, 0.9), Window(at, at, 0.0, 99, 0.1)])
        0.75
    """
    complete = [w for w in windows if w.completeness >= MIN_COMPLETENESS and w.labelled > 0]
    labelled = sum(window.labelled for window in complete)
    return sum(window.accuracy * window.labelled for window in complete) / labelled if labelled else None


def read_windows(
    tables: DeltaTables, model: str, version: str, window_s: int, *, first_start: datetime | None = None,
    last_end: datetime | None = None,
) -> list[Window]:  # fmt: skip
    """The final base windows of a version that lie within the bounds, each at its newest revision."""
    rows = tables.read(
        "metrics",
        "SELECT model, version, window_start, value, n, label_completeness, revision FROM t "
        f"WHERE segment = '{ALL}' AND metric = '{ACCURACY}' AND window_s = {int(window_s)}",
    )
    newest = {}
    for row in sorted(rows, key=lambda row: row["revision"]):
        if (row["model"], row["version"]) == (model, version) and row["value"] is not None:
            newest[row["window_start"]] = row
    length = timedelta(seconds=window_s)
    return [
        Window(start, start + length, row["value"], row["n"], row["label_completeness"] or 0.0)
        for start, row in newest.items()
        if (first_start is None or start >= first_start) and (last_end is None or start + length <= last_end)
    ]


def read_blocks(tables: DeltaTables, model: str, version: str, after: datetime) -> list[Block]:
    """The all-events blocks of a version that ended after a moment."""
    microseconds = (after - _EPOCH) // timedelta(microseconds=1)
    rows = tables.read(
        "blocks",
        f"SELECT model, version, last_enqueued, verdicts FROM t WHERE segment = '{ALL}' "
        f"AND last_enqueued > to_timestamp_micros({microseconds})",
    )
    return [
        Block(row["last_enqueued"], max((v["effect"] or 0.0 for v in row["verdicts"] if v["rang"]), default=0.0))
        for row in rows
        if (row["model"], row["version"]) == (model, version)
    ]
