"""The demo's users: they ask, and later say what the right answer was. Edge.

Queries go through ``/predict`` and labels through ``/feedback``, as a real application would send them. Now and then a
careless producer writes to the hub itself: one event that is not JSON, and one event twice.
"""

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from azure.eventhub import EventData, EventHubProducerClient

from pegel.local.demo.queries import Query, QueryPool, draw
from pegel.schemas.events import PredictionEvent

CARELESS_EVERY = 500
"""After so many queries the careless producer writes three events: one broken, one twice."""

CHANNELS = ("web", "phone", "car")
LOST_AT_ONCE = 20
"""So many answers the app that leaves fields out sends together."""

WORKERS = 8
MOST_UNDER_WAY = 2000


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """How much is asked, and what the drift is made of. Shares are of all queries, 0 to 1."""

    per_second: float = 60.0
    label_delay_seconds: float = 20.0
    novel_share: float = 0.25
    outside_share: float = 0.05
    seed: int = 7


@dataclass(slots=True)
class Traffic:
    """Asks from its own thread until it is stopped."""

    pool: QueryPool
    plan: TrafficPlan
    serving_url: str
    connection_string: str
    hub: str
    model: str
    api_key: str
    has_drifted: bool = False
    """While this is set, novel and out-of-scope queries come as well."""
    fields_are_lost: bool = False
    """While this is set, an app records half as many answers again and leaves out what was asked."""
    queries_are_long: bool = False
    """While this is set, users ask only the longer half of their usual queries."""
    answers_are_bad: bool = False
    """While this is set, users say of every usual query that it meant something else."""
    sent: int = 0
    """Prediction events that reached the producer or the hub, copies included."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _last: dict[str, Any] = field(default_factory=dict)
    _due: deque[tuple[float, dict[str, str]]] = field(default_factory=deque)
    _answered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _of_thread: threading.local = field(default_factory=threading.local)
    _other: dict[str, str] = field(default_factory=dict)
    _long: QueryPool | None = None
    _lost: list[PredictionEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        labels = sorted({query.label for query in self.pool.usual})
        self._other = dict(zip(labels, [*labels[1:], *labels[:1]], strict=True))
        self._long = replace(self.pool, usual=longer_half(self.pool.usual))

    def start(self) -> None:
        """Begin with the usual traffic."""
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop asking, and wait for the requests that are under way; labels that are not due yet are not sent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    def _run(self) -> None:
        rng = random.Random(self.plan.seed)
        begin, asked = time.monotonic(), 0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="traffic") as workers:
            while not self._stop.wait(0.01):
                now = time.monotonic()
                # Catch up with the clock rather than sleep a fixed while: the rate holds on a busy machine.
                while asked < (now - begin) * self.plan.per_second and asked - self._answered < MOST_UNDER_WAY:
                    query = draw(
                        rng,
                        self._long if self.queries_are_long and self._long else self.pool,
                        drifted=self.has_drifted,
                        novel_share=self.plan.novel_share,
                        outside_share=self.plan.outside_share,
                    )
                    workers.submit(self._ask, query, rng.choice(CHANNELS))
                    asked += 1
                    if asked % CARELESS_EVERY == 0 and self._last:
                        workers.submit(self._be_careless)
                if len(self._lost) >= LOST_AT_ONCE:
                    workers.submit(self._send_lost)
                while self._due and self._due[0][0] <= now:
                    workers.submit(self._post, "/feedback", self._due.popleft()[1])

    def _ask(self, query: Query, channel: str) -> None:
        asked_at = time.monotonic()
        body = self._post("/predict", {"text": query.text, "segments": {"channel": channel}})
        with self._lock:
            self._answered += 1
            if body is None:
                return
            self.sent += 1
            self._last = {**body, "text": query.text, "channel": channel}
            meant = self._other.get(query.label, query.label) if self.answers_are_bad else query.label
            if self.fields_are_lost and self._answered % 2:
                self._lost.append(self._recorded(body, channel))
            label = {"event_id": body["event_id"], "prediction_time": body["event_time"], "label": meant}
            self._due.append((asked_at + self.plan.label_delay_seconds, label))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer, or None if there was none, or not the usual one."""
        # A connection for each thread: a pool that many share costs more than the requests.
        if (client := getattr(self._of_thread, "client", None)) is None:
            client = self._of_thread.client = httpx.Client(
                base_url=self.serving_url, timeout=15, headers={"X-API-Key": self.api_key}
            )
        try:
            answer = client.post(path, json=body)
            answer.raise_for_status()
        except httpx.HTTPError:
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _be_careless(self) -> None:
        last = self._last
        event = self._recorded(last, last["channel"], input=last["text"], features={"known_word_share": 1.0})
        self._send([_json(event), _json(event), '{"event_id": "cut off'])

    def _send_lost(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, []
        self._send([_json(event) for event in lost])

    def _recorded(self, answer: Mapping[str, Any], channel: str, **fields: Any) -> PredictionEvent:
        """An answer as an app records it that writes to the hub itself, with these fields beside the usual ones."""
        return PredictionEvent(
            event_id=str(uuid.uuid4()),
            event_time=datetime.now(UTC),
            model_name=self.model,
            model_version=answer["version"],
            output=answer["output"],
            probabilities=answer["probabilities"],
            segments={"channel": channel},
            **fields,
        )

    def _send(self, bodies: Sequence[str]) -> None:
        if not bodies:
            return
        with EventHubProducerClient.from_connection_string(self.connection_string, eventhub_name=self.hub) as producer:
            producer.send_batch([EventData(body) for body in bodies])
        with self._lock:
            self.sent += len(bodies)


def longer_half(queries: Sequence[Query]) -> list[Query]:
    """The queries that are longer than the median.

    Example:
        >>> [query.text for query in longer_half([Query("a", "x"), Query("abc", "x"), Query("ab", "x")])]
        ['abc']
    """
    median = sorted(len(query.text) for query in queries)[len(queries) // 2]
    return [query for query in queries if len(query.text) > median]


def _json(event: PredictionEvent) -> str:
    return event.model_dump_json(by_alias=True, exclude_none=True)
