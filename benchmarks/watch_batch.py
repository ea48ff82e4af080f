"""A micro-batch in the watch against adding up its partials: what blocks, windows, tests and metrics cost beyond that.

No Spark. The stream is that of the watch's own tests: two versions with a baseline, each with 150 segments (three
attributes at their cap); every micro-batch of 3 s has a partial for each, as long as its events are on time.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from equipment.watched_stream import Batch, BatchPlan, Piece, batches_of, reference

from pegel.conf.settings import WatchSettings
from pegel.schemas.partials import ALL, Partial, Tally
from pegel.streaming.watch.watcher import Watcher

VERSIONS = ("1", "2")
SEGMENTS = (ALL, *(f"attribute_{i % 3}={i}" for i in range(149)))
PARTIALS = len(VERSIONS) * len(SEGMENTS)
WARM_UP = 5
MICRO_BATCHES = 40
"""Two minutes, so that windows of 10 s and of a minute become final among them."""


def run(events: int) -> dict[str, Any]:
    """Measure both on the same partials.

    Args:
        events: how many events a micro-batch counts, over all its partials.

    Returns:
        ``ours`` and ``other`` in partials per second, over all micro-batches, and what was measured.
    """
    each = max(1, events // PARTIALS)
    plan = BatchPlan(tuple(Piece(version, segment, n=each) for version in VERSIONS for segment in SEGMENTS))
    batches = batches_of([plan] * (WARM_UP + MICRO_BATCHES))
    watcher = Watcher(WatchSettings(), reference)
    sums: dict[tuple[str, str, str], Tally] = {}
    ours = _seconds(batches, lambda one: watcher.advance(one.batch_id, one.partials, one.clock))
    other = _seconds(batches, lambda one: _add_up(sums, one.partials))
    return {
        "ours": round(MICRO_BATCHES * PARTIALS / sum(ours), 1),
        "other": round(MICRO_BATCHES * PARTIALS / sum(other), 1),
        "ratio": round(sum(other) / sum(ours), 4),
        "unit": "partials/s",
        "events": each * PARTIALS,
        "partials": PARTIALS,
        "ours_seconds_mean": round(sum(ours) / MICRO_BATCHES, 4),
        "ours_seconds_worst": round(max(ours), 4),
        "other_seconds_mean": round(sum(other) / MICRO_BATCHES, 4),
    }


def _add_up(sums: dict[tuple[str, str, str], Tally], partials: Sequence[Partial]) -> None:
    for partial in partials:
        sums.setdefault((partial.model, partial.version, partial.segment), Tally()).add(partial.tally)


def _seconds(batches: Sequence[Batch], take: Callable[[Batch], object]) -> list[float]:
    """How long each micro-batch takes, those of the warm-up left out."""
    seconds = []
    for batch in batches:
        begun = time.perf_counter()
        take(batch)
        seconds.append(time.perf_counter() - begun)
    return seconds[WARM_UP:]
