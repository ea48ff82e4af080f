"""Rates: false rings of the e-detector without drift, and events from a fall of the pass rate to the ring."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pegel.streaming.statistics.rate_detector import ODDS, grown, upper_bound
from pegel.streaming.statistics.rate_test import harmless_rate

FAILS, FAILS_AFTER = 0.08, 0.13
BASELINE = 50_000
RUN_LENGTH = 100_000
"""Events for each false ring."""
BUDGET_WINDOWS = 2 * 864_000 * 8
"""Windows for each false ring by the shipped policy: an alarm a month, and eight columns and rates of one segment."""
QUIET = 3000
PATIENCE = 6000


def rate_delays(count: int) -> Iterator[dict[str, Any]]:
    """The pass rate falls from 0.92 to 0.87: read after each event, and after each block of 100.

    Against the baseline's upper bound alone, and with the dead band on top that the stream leaves. The last is the
    accuracy of windows of 100 labelled events as the shipped policy has it judged.

    Args:
        count: streams, each with a baseline of its own.
    """
    for n, dead_band, run_length in (
        (1, False, RUN_LENGTH),
        (100, False, RUN_LENGTH / 100),
        (1, True, RUN_LENGTH),
        (100, True, RUN_LENGTH / 100),
        (100, True, BUDGET_WINDOWS),
    ):
        # A run length of so many events is one of so many blocks over the events of each.
        rng = np.random.default_rng([8, n])
        largest = harmless_rate if dead_band else upper_bound
        bounds = np.array([[largest(int(hits), BASELINE)] for hits in rng.binomial(BASELINE, FAILS, count)])
        sums = np.zeros((count, len(ODDS)))
        false, delays = 0, np.full(count, np.inf)
        for done in range(0, QUIET + PATIENCE, n):
            hits = rng.binomial(n, FAILS if done < QUIET else FAILS_AFTER, count)[:, None]
            sums = grown(bounds, ODDS, sums, hits, np.full((count, 1), n))
            rings = sums.mean(axis=1) >= run_length
            if done < QUIET:
                false += int(rings.sum())
                sums[rings] = 0
            else:
                delays = np.where(rings & np.isinf(delays), done + n - QUIET, delays)
        yield {
            "cell": f"0.92 to 0.87, read every {n} events{', dead band' if dead_band else ''}, run length "
            f"{run_length * n:.3g} events",
            "baseline": BASELINE,
            "quiet_events": QUIET * count,
            "false_rings": false,
            "budget": QUIET * count / n / run_length,
            "median_events": float(np.median(delays)),
            "p90_events": float(np.quantile(delays, 0.9)),
        }
