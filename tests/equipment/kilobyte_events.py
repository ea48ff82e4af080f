"""Events of about 1 KB as a busy service sends them, for benchmarks: nearly all good, one text in five to be masked.

The same seed and start give the same bodies in the same order.
"""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from equipment.seeded_events import FEEDBACK, PREDICTIONS, SentEvent

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

_EVENTS_PER_LABEL = 10
_EVENTS_PER_COPY = 100
_EVENTS_PER_BROKEN = 100


def predictions(seed: int, start: datetime, count: int) -> Iterator[SentEvent]:
    """So many good predictions, whose times lie in the minutes before ``start``."""
    rng = random.Random(seed)
    for n in range(count):
        yield _sent(PREDICTIONS, _prediction(rng, start, n))


def mixed_events(seed: int, start: datetime, count: int) -> Iterator[SentEvent]:
    """So many events: predictions; every tenth a label of one before it, and one in a hundred a copy, or broken."""
    rng = random.Random(seed)
    last: dict[str, Any] = _prediction(rng, start, 0)
    for n in range(count):
        if n % _EVENTS_PER_COPY == 1:
            yield _sent(PREDICTIONS, last)
        elif n % _EVENTS_PER_BROKEN == 2:
            yield SentEvent(PREDICTIONS, json.dumps(last | {"latency_ms": "slow"}).encode())
        elif n % _EVENTS_PER_LABEL == 3:
            yield _sent(FEEDBACK, _label(last, start, n))
        else:
            last = _prediction(rng, start, n)
            yield _sent(PREDICTIONS, last)


def _prediction(rng: random.Random, start: datetime, n: int) -> dict[str, Any]:
    return {
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


def _label(prediction: dict[str, Any], start: datetime, n: int) -> dict[str, Any]:
    return {
        "feedback_id": f"f{n}",
        "event_id": prediction["event_id"],
        "prediction_time": prediction["event_time"],
        "feedback_time": start.isoformat(),
        "kind": "label",
        "label": prediction["output"],
    }


def _sent(hub: str, document: dict[str, Any]) -> SentEvent:
    return SentEvent(hub, json.dumps(document).encode())


def _text(rng: random.Random, words: int) -> str:
    """Words; one text in five has something to mask, and a third of the others something that looks like it."""
    chosen = rng.choices(_WORDS, k=words)
    among = _MASKABLE if rng.random() < 0.2 else _HARMLESS if rng.random() < 1 / 3 else ()
    if among:
        chosen.insert(rng.randrange(words), rng.choice(among))
    return " ".join(chosen)
