from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pegel.conf.settings import RetrainSettings
from pegel.lifecycle.proof import Block, Window, judge, read_blocks, read_windows
from pegel.tables.delta import DeltaTables

START = datetime(2026, 11, 25, tzinfo=UTC)
SETTINGS = RetrainSettings(proof_windows=3, proof_quality_margin=0.05, proof_min_effect=0.1, proof_max_loud_share=0.2)


def window(number: int, accuracy: float = 0.9, completeness: float = 1.0) -> Window:
    start = START + timedelta(seconds=10 * number)
    return Window(start, start + timedelta(seconds=10), accuracy, 100, completeness)


def block(number: int, effect: float = 0.0) -> Block:
    return Block(START + timedelta(seconds=5 * number), effect)


WINDOWS = [window(n) for n in range(3)]
QUIET = [block(n) for n in range(1, 6)]


def test_proof_waits_until_enough_windows_have_labels() -> None:
    assert judge([window(0), window(1), window(2, completeness=0.4)], QUIET, 0.9, SETTINGS) is None
    found = judge([window(0), window(1), window(2, completeness=0.4), window(3)], QUIET, 0.9, SETTINGS)
    assert found is not None
    assert found.proven


@pytest.mark.parametrize(("loud", "proven"), [(0, True), (1, True), (2, False), (5, False)])
def test_proof_holds_while_at_most_the_share_of_blocks_is_loud(loud: int, proven: bool) -> None:
    blocks = [block(n, effect=0.3 if n <= loud else 0.0) for n in range(1, 6)]
    found = judge(WINDOWS, blocks, 0.9, SETTINGS)
    assert found is not None
    assert found.proven is proven
    assert f"{loud} of 5 blocks" in found.detail


def test_proof_takes_a_ring_below_the_minimum_effect_as_quiet() -> None:
    found = judge(WINDOWS, [block(n, effect=0.09) for n in range(1, 6)], 0.9, SETTINGS)
    assert found is not None
    assert found.proven


def test_proof_ignores_what_came_after_its_windows() -> None:
    late = [block(n, effect=2.0) for n in range(10, 30)]
    found = judge([*WINDOWS, window(3, accuracy=0.0)], [*QUIET, *late], 0.9, SETTINGS)
    assert found is not None
    assert found.proven


def test_proof_waits_for_a_block() -> None:
    assert judge(WINDOWS, [], 0.9, SETTINGS) is None


@pytest.mark.parametrize(("effect", "proven"), [(0.0, True), (0.3, False)])
def test_proof_takes_the_first_block_where_the_stream_lags_so_far_that_it_outlasts_the_windows(
    effect: float, proven: bool
) -> None:
    lagging = [block(20, effect=effect), block(30, effect=0.3 - effect)]
    for blocks in (lagging, lagging[::-1]):
        found = judge(WINDOWS, blocks, 0.9, SETTINGS)
        assert found is not None
        assert found.proven is proven
        assert "of 1 blocks" in found.detail


@pytest.mark.parametrize(("reference", "proven"), [(0.94, True), (0.96, False)])
def test_proof_needs_the_old_accuracy_less_the_margin(reference: float, proven: bool) -> None:
    found = judge(WINDOWS, QUIET, reference, SETTINGS)
    assert found is not None
    assert found.proven is proven


def metric(number: int, **change: Any) -> dict[str, Any]:
    row = {
        "model": "assistant",
        "version": "2",
        "segment": "*",
        "column": "",
        "metric": "accuracy",
        "window_start": START + timedelta(seconds=10 * number),
        "window_s": 10,
        "baseline_id": "",
        "revision": 1,
        "batch_id": 1,
        "value": 0.5,
        "n": 80,
        "label_completeness": 0.8,
    }
    return row | change


def test_windows_are_read_at_their_newest_revision_within_the_bounds(tables: DeltaTables) -> None:
    others = [
        metric(1, model="other"),
        metric(1, version="1"),
        metric(1, segment="channel=web"),
        metric(1, window_s=60),
        metric(1, metric="events"),
        metric(2, value=None, label_completeness=0.0),
    ]
    rows = [metric(0), metric(1, revision=5, value=0.75), metric(1, revision=3, value=0.1), metric(3)]
    tables.append("metrics", others + rows)
    found = read_windows(tables, "assistant", "2", 10, first_start=START + timedelta(seconds=10))
    assert [(w.start, w.accuracy) for w in sorted(found, key=lambda w: w.start)] == [
        (START + timedelta(seconds=10), 0.75),
        (START + timedelta(seconds=30), 0.5),
    ]
    before = read_windows(tables, "assistant", "2", 10, last_end=START + timedelta(seconds=19))
    assert [w.end for w in before] == [START + timedelta(seconds=10)]


def verdict(effect: float | None, *, rang: bool) -> dict[str, Any]:
    return {
        "column": "confidence",
        "rang": rang,
        "calibrated": False,
        "lag": 1,
        "n": 100,
        "statistic": 1.0,
        "threshold": 2.0,
        "p_value": 0.5,
        "effect": effect,
        "direction": "location",
    }


def test_a_block_is_as_loud_as_the_loudest_column_that_rang(tables: DeltaTables) -> None:
    def row(number: int, verdicts: list[dict[str, Any]], **change: Any) -> dict[str, Any]:
        at = START + timedelta(seconds=number)
        made = {"model": "assistant", "version": "2", "segment": "*", "block_no": number, "batch_id": number}
        made |= {"first_batch_id": number, "last_batch_id": number, "n": 100, "last_enqueued": at, "grid": "g"}
        return made | {"baseline_id": "b", "verdicts": verdicts, "state": "{}"} | change

    rows = [
        row(0, [verdict(9.0, rang=True)]),
        row(1, [verdict(0.3, rang=True), verdict(0.2, rang=True), verdict(5.0, rang=False)]),
        row(2, [verdict(4.0, rang=False)]),
        row(3, [verdict(9.0, rang=True)], segment="channel=web"),
        row(4, [verdict(9.0, rang=True)], version="1"),
        row(5, [verdict(None, rang=True)]),
    ]
    tables.append("blocks", rows)
    found = read_blocks(tables, "assistant", "2", START)
    assert sorted((b.last_enqueued - START).seconds for b in found) == [1, 2, 5]
    assert [b.effect for b in sorted(found, key=lambda b: b.last_enqueued)] == [0.3, 0.0, 0.0]
