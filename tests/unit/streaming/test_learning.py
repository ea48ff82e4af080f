"""What the first quiet blocks of a key teach makes its verdicts calibrated, once, and outlives a restart."""

from datetime import timedelta

import numpy as np
import pytest
from equipment.watched_stream import START, BatchPlan, Piece, batches_of, reference, watch

from pegel.schemas.verdicts import ColumnVerdict
from pegel.streaming.statistics.dispersion import Dispersion
from pegel.streaming.watch.learning import Learning, Patience
from pegel.streaming.watch.reference import Comparison

NEEDED = 100
PATIENCE = Patience(NEEDED, timedelta(minutes=3))


def _story(drift: range) -> list[BatchPlan]:
    # Each micro-batch closes a block; 128 events are the same in each.
    return [BatchPlan((Piece("2", n=128, shift=120 if i in drift else 0),)) for i in range(150)]


def _calibrated(outputs) -> dict[str, int]:
    """Column -> the first block whose verdict on it is calibrated; it stays so."""
    first: dict[str, int] = {}
    for output in outputs:
        for block in output.blocks:
            for verdict in block.columns:
                assert verdict.calibrated == (verdict.column in first) or verdict.column not in first
                if verdict.calibrated:
                    first.setdefault(verdict.column, block.block_no)
    return first


def test_verdicts_are_calibrated_once_enough_blocks_without_drift_were_seen() -> None:
    assert _calibrated(watch(batches_of(_story(range(0))))[0]) == {"x": NEEDED, "output": NEEDED}


def test_blocks_that_drift_teach_nothing() -> None:
    outputs, _ = watch(batches_of(_story(range(50, 54))))
    rang = [(b.block_no, c.column) for o in outputs for b in o.blocks for c in b.columns if c.rang]
    assert rang
    assert {column for _, column in rang} == {"x"}
    # Each block that rang is left out for its column alone.
    assert _calibrated(outputs) == {"x": NEEDED + len(rang), "output": NEEDED}


@pytest.mark.parametrize("restarts", [{7, 64, 65, 99}, {100, 101, 120, 149}, set(range(1, 150, 9))])
def test_restart_forgets_nothing_that_was_learned(restarts: set[int]) -> None:
    batches = batches_of(_story(range(50, 54)))
    assert watch(batches, restarts)[0] == watch(batches)[0]


def _learning() -> tuple[Learning, dict[str, np.ndarray]]:
    found = reference("assistant", "2")
    assert found is not None
    comparison = Comparison(found)
    return Learning(comparison, PATIENCE), {name: comparison.columns[name].bins.baseline for name in ("x", "output")}


def _rang(effect: float, lag: int) -> list[ColumnVerdict]:
    return [ColumnVerdict("x", True, False, lag, 100, 50.0, 40.0, 1e-9, effect, "location")]


def test_few_minutes_teach_nothing_however_many_blocks_they_hold() -> None:
    learning, bins = _learning()
    for i in range(3 * NEEDED):
        learning.add(bins, START + timedelta(seconds=i % 170), ())
    assert not learning.learned
    learning.add(bins, START + timedelta(minutes=3), ())
    assert set(learning.learned) == {"x", "output"}


def test_rings_of_a_small_effect_are_the_wander_and_count() -> None:
    learning, bins = _learning()
    for i in range(NEEDED):
        learning.add(bins, START + timedelta(seconds=3 * i), _rang(0.24, 64))
    assert learning.learned["x"].blocks == NEEDED


def test_long_drift_begins_the_learning_of_its_column_anew() -> None:
    learning, bins = _learning()
    for i in range(NEEDED - 1):
        learning.add(bins, START + timedelta(seconds=3 * i), ())
    learning.add(bins, START + timedelta(seconds=3 * NEEDED), _rang(0.25, 11))
    for i in range(NEEDED - 1):
        learning.add(bins, START + timedelta(seconds=3 * (NEEDED + 1 + i)), ())
    assert set(learning.learned) == {"output"}
    learning.add(bins, START + timedelta(seconds=6 * NEEDED + 3), ())
    assert learning.learned["x"].blocks == NEEDED


def test_what_was_learned_is_never_changed_again_and_judges_the_column() -> None:
    learning, bins = _learning()
    for i in range(NEEDED):
        learning.add(bins, START + timedelta(seconds=3 * i), ())
    fixed = dict(learning.learned)
    assert isinstance(fixed["x"], Dispersion)
    assert learning.test("x").dispersion == fixed["x"]
    for i in range(NEEDED):
        learning.add({name: counts * (1 + i % 3) for name, counts in bins.items()}, START + timedelta(hours=1), ())
    assert learning.learned == fixed
