"""Events as producers really send them: mostly good, some twice, some broken, labels early, late and corrected.

The same seed and start give the same bodies in the same order.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

PREDICTIONS, FEEDBACK = "predictions", "feedback"

_WORDS = (
    *("which", "gauge", "rings", "when", "the", "river", "rises", "over", "its", "mark", "transfer", "card", "limit"),
    *(
        "ada@example.org",
        "password:",
        "hunter2",
        "größe",
        "到",
        "🙂",
        "two  blanks",
        "tab\there",
        "line\nend",
        "\u00a0",
    ),
)
_LABELS = ("transfer", "balance", "card", "limit", "größe")
_COUNTRIES = ("de", "ch", "at", "fr")


@dataclass(frozen=True, slots=True)
class SentEvent:
    """What to send where."""

    hub: str
    body: bytes


def seeded_events(seed: int, start: datetime, count: int) -> Iterator[SentEvent]:
    """Events whose own times lie in the minutes before ``start``.

    Args:
        seed: decides everything.
        start: the newest event time is not after it.
        count: how many events, both hubs and broken ones included.
    """
    source = _Source(random.Random(seed), start)
    for _ in range(count):
        yield source.next()


class _Source:
    def __init__(self, rng: random.Random, start: datetime) -> None:
        self._rng = rng
        self._start = start
        self._n = 0
        self._sent: list[SentEvent] = []
        self._labelled: list[dict[str, Any]] = []
        self._pending: list[dict[str, Any]] = []

    def next(self) -> SentEvent:
        self._n += 1
        kind = self._rng.choices(
            (
                *(self._prediction, self._label, self._early_label, self._promised),
                *(self._correction, self._rating, self._copy, self._broken),
            ),
            (60, 14, 3, 3, 3, 3, 7, 7),
        )[0]
        event = kind()
        self._sent.append(event)
        return event

    def _prediction(self) -> SentEvent:
        return self._send(PREDICTIONS, self._new_prediction())

    def _new_prediction(self) -> dict[str, Any]:
        rng = self._rng
        label = rng.choice(_LABELS)
        document: dict[str, Any] = {
            "event_id": f"e{self._n}-{rng.getrandbits(32):08x}",
            "event_time": _written(self._start - timedelta(seconds=rng.expovariate(1 / 40)), rng),
            "model_name": "assistant" if rng.random() < 0.9 else "other",
            "model_version": rng.choice(("1", "1", "1", "2")),
            "input": " ".join(rng.choices(_WORDS, k=rng.randint(0, 25))),
            "output": label,
            "probabilities": {label: round(rng.random(), 6), "none": 0.001},
            "features": {
                "amount": self._odd_number(),
                "age": rng.gauss(40, 12),
                "channel": rng.choice(("web", "app", None)),
            },
            "segments": {"country": rng.choice(_COUNTRIES)},
            "latency_ms": round(rng.lognormvariate(5, 1), 3),
            "gen_ai.usage.input_tokens": rng.randint(0, 4000),
            "gen_ai.usage.output_tokens": rng.randint(0, 400),
        }
        for name in rng.sample(sorted(document), k=rng.choice((0, 0, 1, 3))):
            if name not in {"event_id", "event_time", "model_name", "model_version"}:
                del document[name]
        if rng.random() < 0.1:
            document |= {"error.type": "timeout", "schema_version": 1, "event_type": "prediction"}
        if rng.random() < 0.1:
            document |= {"my_field": {"b": 1.50, "a": [True, None]}, "Zweites": "x@y.org", "dritte": 7}
        self._labelled.append(document)
        return document

    def _odd_number(self) -> Any:
        rng = self._rng
        plain = (rng.gauss(100, 30), rng.randint(-5, 300), rng.lognormvariate(3, 2))
        odd = (None, "12.5", "many", True, 1e18, -1e18, 0, 0.0, -0.5, 1e-9, 123456789.125)
        return rng.choice(plain) if rng.random() < 0.8 else rng.choice(odd)

    def _label(self) -> SentEvent:
        if not self._labelled:
            return self._prediction()
        return self._send(FEEDBACK, self._new_label(self._rng.choice(self._labelled[-400:])))

    def _new_label(self, prediction: dict[str, Any]) -> dict[str, Any]:
        rng = self._rng
        label = prediction.get("output", "balance") if rng.random() < 0.8 else rng.choice(_LABELS)
        return {
            "feedback_id": f"f{self._n}-{rng.getrandbits(32):08x}",
            "event_id": prediction["event_id"],
            "prediction_time": prediction["event_time"],
            "feedback_time": _written(self._start - timedelta(seconds=rng.random()), rng),
            "kind": "label",
            "label": label,
            "source": rng.choice(("agent", "me@example.org", None)),
        }

    def _early_label(self) -> SentEvent:
        """A label whose prediction comes later."""
        prediction = self._new_prediction()
        self._labelled.pop()
        self._pending.append(prediction)
        return self._send(FEEDBACK, self._new_label(prediction))

    def _promised(self) -> SentEvent:
        if not self._pending:
            return self._prediction()
        prediction = self._pending.pop(0)
        self._labelled.append(prediction)
        return self._send(PREDICTIONS, prediction)

    def _correction(self) -> SentEvent:
        if not self._labelled:
            return self._prediction()
        # Of the newest few, so that many have a label already.
        prediction = self._rng.choice(self._labelled[-20:])
        return self._send(FEEDBACK, self._new_label(prediction))

    def _rating(self) -> SentEvent:
        if not self._labelled:
            return self._prediction()
        document = self._new_label(self._rng.choice(self._labelled))
        del document["label"]
        return self._send(FEEDBACK, document | {"kind": self._rng.choice(("rating", "judgement")), "score": 4.5})

    def _copy(self) -> SentEvent:
        return self._rng.choice(self._sent[-300:]) if self._sent else self._prediction()

    def _broken(self) -> SentEvent:
        good = self._new_prediction()
        self._labelled.pop()
        hub = self._rng.choice((PREDICTIONS, PREDICTIONS, FEEDBACK))
        return SentEvent(hub, self._rng.choice(_BREAKS)(good, self._start))

    def _send(self, hub: str, document: dict[str, Any]) -> SentEvent:
        return SentEvent(hub, json.dumps(document, ensure_ascii=self._rng.random() < 0.5).encode())


def _written(moment: datetime, rng: random.Random) -> str:
    text = moment.isoformat()
    return text.replace("+00:00", "Z") if rng.random() < 0.5 else text


def _text(document: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps(document | changes).encode()


def _without(document: dict[str, Any], name: str) -> bytes:
    return json.dumps({key: value for key, value in document.items() if key != name}).encode()


_BREAKS: tuple[Callable[[dict[str, Any], datetime], bytes], ...] = (
    lambda d, _: b"\xff\xfe" + _text(d),
    lambda d, _: _text(d)[:-5],
    lambda d, _: _text(d) + b" {}",
    lambda d, _: b"[" + _text(d) + b"]",
    lambda _, __: b"",
    lambda _, __: b"write to ada@example.org, sk-abcDEF0123456789abcDEF",
    lambda d, _: _text(d, schema_version=2),
    lambda d, _: _text(d, schema_version="1"),
    lambda d, _: _text(d, event_type="other"),
    lambda d, _: _without(d, "event_id"),
    lambda d, _: _text(d, event_time=None, note="ada\u0040example.org"),
    lambda d, _: _text(d, event_id=5, feedback_id="x", prediction_time="2026-01-01T00:00:00Z", feedback_time="x"),
    lambda d, _: _text(d, event_id=""),
    lambda d, _: _text(d, event_time="2026-11-25 03:00"),
    lambda d, _: _text(d, latency_ms="fast"),
    lambda d, _: _text(d, latency_ms=float("nan")),
    lambda d, _: _text(d, features=[1]),
    lambda d, _: _text(d, features={"a": {"b": 1}}),
    lambda d, _: _text(d, probabilities={"a": "b"}),
    lambda d, _: _text(d, segments={"country": 5}),
    lambda d, _: _text(d, Event_Id="x"),
    lambda d, start: _text(d, event_time=(start + timedelta(days=3650)).isoformat()),
    lambda d, _: _text(d)[:-1] + b', "event_id": "again"}',
)
