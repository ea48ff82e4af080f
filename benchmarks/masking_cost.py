"""What masking costs of ingest: the same events through the whole stream job with masking and with every field kept.

Both take the same records from one real Kafka broker in one Spark session, in turn, in rounds whose order alternates.
Events have about 1 KB; one text in five holds something to mask, of every class, and every third other one holds
numbers, times and colons that only look like it.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from equipment.kafka_broker import KafkaBroker
from equipment.seeded_events import PREDICTIONS, SentEvent
from pyspark.sql import SparkSession

from benchmarks.ingest_vs_copy import WARM_UP, WARM_UP_EVENTS, accounted, filled_hubs, ingest, settings_of
from pegel.conf.masking_settings import IDENTIFIERS, MAPS, TEXTS, MaskingSettings
from pegel.conf.settings import Settings

SEED = 12
ROUNDS = 4

_KEPT = MaskingSettings(fields=dict.fromkeys((*TEXTS, *IDENTIFIERS, *(f"{name}.*" for name in MAPS)), "keep"))
_WAYS = {"ours": MaskingSettings(), "other": _KEPT}
_WORDS = (
    *(
        "could",
        "you",
        "please",
        "tell",
        "me",
        "why",
        "my",
        "transfer",
        "from",
        "savings",
        "has",
        "not",
        "arrived",
        "yet",
    ),
    *("the", "invoice", "shows", "another", "amount", "than", "what", "I", "was", "told", "on", "telephone", "and"),
)
_MASKABLE = (
    *("ada.lovelace@example.org", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "+49 30 1234567"),
    *("192.0.2.17", "password: hunter2", "sk-proj-abcDEF0123456789abcDEF0123456789", "Tel. 5551234567"),
)
_HARMLESS = ("at 10:30", "in 2024", "order 84213", "of 12.50 EUR", "Re: question", "(see 3)", "on 2026-11-02", "x = 5")


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
    with filled_hubs(_events, SEED, events) as hubs:
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


def _events(seed: int, start: datetime, count: int) -> Iterator[SentEvent]:
    rng = random.Random(seed)
    for n in range(count):
        document = {
            "event_id": f"{rng.getrandbits(128):032x}",
            "event_time": (start - timedelta(seconds=rng.expovariate(1 / 40))).isoformat(),
            "model_name": "assistant",
            "model_version": "1",
            "input": _text(rng, 70),
            "output": _text(rng, 40),
            "features": {"amount": round(rng.gauss(100, 30), 2), "channel": rng.choice(("web", "app")), "n": n},
            "segments": {"country": rng.choice(("de", "ch", "at"))},
            "latency_ms": round(rng.lognormvariate(5, 1), 3),
            "trace_id": f"{rng.getrandbits(128):032x}",
        }
        yield SentEvent(PREDICTIONS, json.dumps(document).encode())


def _text(rng: random.Random, words: int) -> str:
    """Words; one text in five has something to mask, and a third of the others something that looks like it."""
    chosen = rng.choices(_WORDS, k=words)
    among = _MASKABLE if rng.random() < 0.2 else _HARMLESS if rng.random() < 1 / 3 else ()
    if among:
        chosen.insert(rng.randrange(words), rng.choice(among))
    return " ".join(chosen)


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
