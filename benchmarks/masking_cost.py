"""What masking costs of ingest: the same events through the whole stream job with masking and with every field kept.

Both take the same records from one real Kafka broker in one Spark session, in turn, in rounds whose order alternates.
Events have about 1 KB; one text in five holds something to mask, of every class, and every third other one holds
numbers, times and colons that only look like it.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

from equipment.kafka_broker import KafkaBroker
from equipment.kilobyte_events import predictions
from pyspark.sql import SparkSession

from benchmarks.ingest_vs_copy import WARM_UP, WARM_UP_EVENTS, accounted, filled_hubs, ingest, settings_of
from pegel.conf.masking_settings import IDENTIFIERS, MAPS, TEXTS, MaskingSettings
from pegel.conf.settings import Settings

SEED = 12
ROUNDS = 4

_KEPT = MaskingSettings(fields=dict.fromkeys((*TEXTS, *IDENTIFIERS, *(f"{name}.*" for name in MAPS)), "keep"))
_WAYS = {"ours": MaskingSettings(), "other": _KEPT}


def run(events: int) -> dict[str, Any]:
    """Measure both.

    Args:
        events: how many events the hub holds.

    Returns:
        ``ours`` and ``other`` in events per second, with masking and without, medians of the rounds; ``cost``, the
        share of the throughput that masking takes, by the median of the rounds' own ratios.

    Raises:
        RuntimeError: if either did not take every event, since a speed at which events are lost says nothing.
    """
    with filled_hubs(predictions, SEED, events) as hubs:
        size = hubs.size
        seconds = _rounds(hubs.spark, hubs.broker, hubs.folder, events)
    rates = {way: statistics.median(events / one for one in taken) for way, taken in seconds.items()}
    ratio = statistics.median(o / m for m, o in zip(seconds["ours"], seconds["other"], strict=True))
    return {
        "ours": round(rates["ours"], 1),
        "other": round(rates["other"], 1),
        "ratio": round(ratio, 4),
        "cost": round(1 - ratio, 4),
        "unit": "events/s",
        "events": events,
        "bytes": size,
        "ours_seconds": [round(one, 2) for one in seconds["ours"]],
        "other_seconds": [round(one, 2) for one in seconds["other"]],
    }


def _rounds(spark: SparkSession, broker: KafkaBroker, folder: Path, events: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {way: [] for way in _WAYS}
    for i in range(-1, ROUNDS):
        prefix, count = ("", events) if i >= 0 else (WARM_UP, WARM_UP_EVENTS)
        for way in sorted(_WAYS, reverse=i % 2 == 1):
            root = folder / f"{way}-{i}"
            settings = settings_of(broker, prefix, root, folder / "connection-string")
            settings = Settings.model_validate(settings.model_dump() | {"masking": _WAYS[way]})
            begun = time.perf_counter()
            ingest(spark, settings)
            elapsed = time.perf_counter() - begun
            print(f"masking_cost: round {i}, {way}: {count} events in {elapsed:.2f} s", file=sys.stderr)
            if (taken := accounted(spark, settings)) != count:
                raise RuntimeError(f"{way} took {taken} of {count} events; its speed would say nothing")
            if i >= 0:
                seconds[way].append(elapsed)
    return seconds
