"""How much the first quiet blocks of a key differ from each other, learned while the stream runs. Pure.

What is learned is fixed once there are enough blocks over enough time, and from then on the column's verdicts are
calibrated. A block is left out for a column that has just drifted in it. Rings of a smaller effect count as the wander
that they mostly are: leaving them out would make it look smaller than it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pegel.schemas.verdicts import ColumnVerdict
from pegel.streaming.statistics.alarm import ColumnTest
from pegel.streaming.statistics.cells import IntArray
from pegel.streaming.statistics.dispersion import Dispersion, SpreadLearner
from pegel.streaming.watch.reference import Comparison

DRIFT_EFFECT = 0.25
"""From this effect on, in baseline standard deviations, a ring is taken for drift. Convention, not derived."""

MOST_DRIFT = 0.1
"""If more of the blocks than this were pooled in drifts, what was learned is dropped and learning begins anew."""


@dataclass(frozen=True, slots=True)
class Patience:
    """When enough was seen: so many blocks without drift, and so long a time between the first and the last."""

    blocks: int
    time: timedelta


@dataclass(slots=True)
class _Column:
    # How many blocks were pooled in drifts, and when learning began.
    learner: SpreadLearner
    drifted: int = 0
    since: datetime | None = None


@dataclass(slots=True)
class Learning:
    """What is learned of the columns of one key, against one baseline.

    Args:
        comparison: the version's.
        patience: see above.

    Attributes:
        learned: column -> its dispersion, once it is fixed.
    """

    comparison: Comparison
    patience: Patience
    learned: dict[str, Dispersion] = field(default_factory=dict)
    _columns: dict[str, _Column] = field(init=False, default_factory=dict)
    _tests: dict[str, ColumnTest] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.comparison.watched:
            if name not in self.comparison.reference.dispersions:
                self._columns[name] = self._anew(name)

    def test(self, column: str) -> ColumnTest:
        """What judges a column now: with what was learned of it, or else as its baseline says."""
        if column in self._tests:
            return self._tests[column]
        prepared = self.comparison.columns[column]
        if column not in self.learned:
            return prepared.test
        return self._tests.setdefault(column, ColumnTest(prepared.bins, self.learned[column]))

    def add(self, bins: Mapping[str, IntArray], closed: datetime, verdicts: Sequence[ColumnVerdict]) -> None:
        """Take in a closed block, after its verdict.

        Args:
            bins: watched column -> counts per bin.
            closed: the highest enqueued time in it.
            verdicts: of its columns.
        """
        drifts = {v.column: v.lag for v in verdicts if v.rang and v.effect >= DRIFT_EFFECT}
        for name, column in list(self._columns.items()):
            column.since = column.since or closed
            if name in drifts:
                column.drifted += drifts[name]
                if column.drifted > MOST_DRIFT * max(self.patience.blocks, column.learner.blocks):
                    self._columns[name] = self._anew(name)
                continue
            column.learner.add(bins[name])
            enough = column.learner.blocks >= self.patience.blocks and closed - column.since >= self.patience.time
            if enough:
                found = column.learner.dispersion()
                if found.calibrated:
                    self.learned[name] = found
                    del self._columns[name]

    def state(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return {
            "learned": {name: asdict(found) for name, found in sorted(self.learned.items())},
            "columns": {
                name: {
                    "drifted": column.drifted,
                    "since": column.since.astimezone(UTC).isoformat() if column.since else None,
                    **column.learner.state(),
                }
                for name, column in sorted(self._columns.items())
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self.learned = {
            name: Dispersion(**{**found, "wander": tuple(found["wander"]), "known_by": tuple(found["known_by"])})
            for name, found in state["learned"].items()
            if name in self.comparison.columns
        }
        self._tests = {}
        for name in [name for name in self._columns if name in self.learned]:
            del self._columns[name]
        for name, kept in state["columns"].items():
            if name in self._columns:
                since = datetime.fromisoformat(kept["since"]) if kept["since"] else None
                self._columns[name] = _Column(SpreadLearner(self.comparison.columns[name].bins), kept["drifted"], since)
                self._columns[name].learner.restore(kept)

    def _anew(self, name: str) -> _Column:
        return _Column(SpreadLearner(self.comparison.columns[name].bins))
