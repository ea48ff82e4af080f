"""Forty thousand blocks without drift ring as seldom as promised, and shifts are found as soon as promised."""

import numpy as np
import pytest
from equipment.simulated_blocks import COLUMNS, Case, SimulatedColumn, autoregressive, daily, streams

from pegel.streaming.statistics.alarm import level
from pegel.streaming.statistics.rate_detector import ODDS, RateDetector, grown, upper_bound

ALPHA = level(10_000, len(COLUMNS))
QUIET = 64


def test_forty_thousand_blocks_without_drift_ring_eight_times_at_most() -> None:
    # 4 are in the budget. With the wander left out of the law hundreds of them ring.
    cases = (
        Case(200, 10_000),
        Case(1000, 100_000),
        Case(1000, 0, wander=autoregressive(0.9)),
        Case(1000, 0, wander=autoregressive(1.5, -0.75)),
        Case(1000, 0, 4 * 288, daily(288)),
    )
    rings = [len(c.rings(ALPHA)) for case in cases for columns in streams(20261128, case, 800, 10) for c in columns]
    assert len(rings) == 5 * 10 * len(COLUMNS)
    assert sum(rings) <= 8


@pytest.mark.parametrize(("name", "shift", "blocks"), [("amount", 0.1, 7), ("amount", 0.25, 1), ("channel", 0.05, 4)])
def test_shift_is_found_within_few_blocks(name: str, shift: float, blocks: int) -> None:
    delays = []
    for i in range(25):
        rng = np.random.default_rng([20261128, i])
        column = SimulatedColumn(rng, name, Case(1000, 100_000), QUIET + 40, shift=shift, since=QUIET)
        delays.append(next((ring - QUIET + 1 for ring in column.rings(ALPHA) if ring >= QUIET), 1000))
    assert np.median(delays) <= blocks


def test_rate_that_rises_is_found_within_510_events_and_a_steady_one_keeps_the_budget() -> None:
    rng = np.random.default_rng(20261128)
    streams_, quiet, run_length = 100, 2000, 100_000
    bounds = np.array([[upper_bound(int(hits), 50_000)] for hits in rng.binomial(50_000, 0.08, streams_)])
    sums, delays, false = np.zeros((streams_, len(ODDS))), np.full(streams_, np.inf), 0
    for event in range(quiet + 3000):
        hits = rng.binomial(1, 0.08 if event < quiet else 0.13, (streams_, 1))
        sums = grown(bounds, ODDS, sums, hits, np.ones((streams_, 1)))
        rings = sums.mean(axis=1) >= run_length
        if event < quiet:
            false += int(rings.sum())
            sums[rings] = 0
        delays = np.where(rings & np.isinf(delays) & (event >= quiet), event + 1 - quiet, delays)
    # 2 false rings are in the budget of 200,000 events.
    assert false <= 5
    assert np.median(delays) <= 510


def test_rate_is_not_judged_against_a_baseline_without_events_or_where_every_event_is_a_hit() -> None:
    assert upper_bound(0, 0) == upper_bound(7, 7) == 1.0
    assert RateDetector(1.0).add((), 100, 100) == (0.0,) * 4


def test_rate_detector_never_overflows_and_starts_again_from_nothing() -> None:
    detector = RateDetector(upper_bound(0, 50_000))
    sums = detector.add((), 10_000, 10_000)
    for _ in range(3):
        sums = detector.add(sums, 10_000, 10_000)
    assert np.isfinite(detector.value(sums))
    assert detector.value(sums) > 1e200
    assert detector.value(()) == 0.0
    # A block without hits leaves less than the stake of one gambler.
    assert detector.value(detector.add((), 0, 100)) < 1.0
